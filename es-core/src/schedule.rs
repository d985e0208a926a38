//! Commands that are sent later.

mod stored;

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    Call, CommandId, Commit, EventStore, Metadata, Request, Result, ScheduleKey, Tenant, Timestamp, error::Error,
};

/// A command that is sent when its time has come, unless it is cancelled under its key before.
///
/// It has an id from the moment it is scheduled, the same on every delivery, so that it is carried out once however
/// often it is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledCommand {
    key: ScheduleKey,
    due: Timestamp,
    id: CommandId,
    request: Request,
}

impl ScheduledCommand {
    /// A lease that ends later than this from now is none: the clock was set back after it was taken.
    pub const LONGEST_LEASE: Duration = Duration::from_secs(60);

    /// A request to be sent at this time.
    ///
    /// Without an id of its own it gets one made of its tenant, key, time, method and body. Scheduled again with all
    /// of these the same, it is the same command: once carried out, it is not carried out again. An id of its own that
    /// says when it was made, a UUIDv7, is replaced by one made of it, which can't [expire](Error::CommandExpired) before
    /// its time has come.
    pub fn new(key: ScheduleKey, due: Timestamp, mut request: Request) -> Self {
        let id = match request.command_id.take() {
            Some(id) if id.made_at().is_some() => CommandId::made_of(id.as_str().as_bytes()),
            Some(id) => id,
            None => made_id(&key, due, &request),
        };
        request.command_id = Some(id.clone());
        Self { key, due, id, request }
    }

    /// A call to be sent at this time; what it leaves open is said by `defaults`, whose tenant it is for.
    pub(crate) fn of_call<R>(key: &str, due: Timestamp, call: Call<R>, defaults: &Metadata) -> Result<Self> {
        let key = ScheduleKey::new(key)?;
        let mut request = call.into_request()?;
        request.metadata = request.metadata.or(defaults);
        if request.metadata.tenant != defaults.tenant {
            let name = |tenant: &Option<Tenant>| {
                tenant.as_ref().map_or("no tenant".to_owned(), |tenant| format!("tenant {tenant}"))
            };
            let (other, own) = (name(&request.metadata.tenant), name(&defaults.tenant));
            return Err(Error::invalid_request(format!(
                "the command to be scheduled under `{key}` is for {other}, the schedule is that of {own}"
            )));
        }
        Ok(Self::new(key, due, request))
    }

    /// The name it is rescheduled and cancelled by; unique within its tenant.
    pub fn key(&self) -> &ScheduleKey {
        &self.key
    }

    /// When it is sent.
    pub fn due(&self) -> Timestamp {
        self.due
    }

    /// The tenant it is for.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.request.metadata.tenant.as_ref()
    }

    /// The id it is sent with.
    pub fn command_id(&self) -> &CommandId {
        &self.id
    }

    /// What is sent.
    pub fn request(&self) -> &Request {
        &self.request
    }
}

/// An id made of everything that tells one scheduled command from another.
fn made_id(key: &ScheduleKey, due: Timestamp, request: &Request) -> CommandId {
    let tenant = request.metadata.tenant.as_ref().map_or("", Tenant::as_str);
    let Request { service, method, body, .. } = request;
    let mut name = format!("scheduled\0{tenant}\0{key}\0{}\0{service}.{method}\0", due.as_micros()).into_bytes();
    name.extend_from_slice(body);
    CommandId::made_of(&name)
}

/// A change to the schedule of a commit's tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduleChange {
    /// Sends this command later, in place of the one under the same key if there is one.
    Send(Box<ScheduledCommand>),
    /// Forgets the command under this key. It does no harm when there is none.
    Cancel(ScheduleKey),
}

impl ScheduleChange {
    /// The key that it changes.
    pub fn key(&self) -> &ScheduleKey {
        match self {
            Self::Send(command) => command.key(),
            Self::Cancel(key) => key,
        }
    }
}

/// Schedules commands from outside of command handlers: from reactors, from a program's own tasks. Cloning is cheap.
///
/// A handler has [`CommandContext::schedule`](crate::CommandContext::schedule), which does it together with its events.
///
/// ```
/// # use std::time::Duration;
/// # use es_core::{Call, EventStore, Result, Schedule};
/// # async fn remind<R>(store: impl EventStore, call: Call<R>) -> Result<()> {
/// let tomorrow = store.now().saturating_add(Duration::from_secs(24 * 60 * 60));
/// let schedule = Schedule::new(store);
/// schedule.at("reminder-17", tomorrow, call).await?; // `client.remind(RemindCommand { .. })`, not awaited
/// schedule.cancel("reminder-17").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Schedule {
    store: Arc<dyn EventStore>,
    defaults: Metadata,
}

impl Schedule {
    /// The schedule kept in a store.
    pub fn new(store: impl EventStore) -> Self {
        Self { store: Arc::new(store), defaults: Metadata::default() }
    }

    /// The schedule of this tenant, whose keys are its own.
    #[must_use]
    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.defaults.tenant = Some(tenant);
        self
    }

    /// Sends a call at this time, in place of what is scheduled under the key. The call's timeout counts for nothing.
    ///
    /// # Errors
    /// [`InvalidId`](Error::InvalidId) for a bad key, what was wrong with the call,
    /// [`InvalidRequest`](Error::InvalidRequest) when it is for another tenant, or what the storage reports.
    pub async fn at<R>(&self, key: impl AsRef<str>, due: Timestamp, call: Call<R>) -> Result<()> {
        let command = ScheduledCommand::of_call(key.as_ref(), due, call, &self.defaults)?;
        self.change(ScheduleChange::Send(Box::new(command))).await
    }

    /// Forgets what is scheduled under the key. It does no harm when there is nothing; what is being delivered at this
    /// moment is delivered.
    ///
    /// # Errors
    /// [`InvalidId`](Error::InvalidId) for a bad key, or what the storage reports.
    pub async fn cancel(&self, key: impl AsRef<str>) -> Result<()> {
        self.change(ScheduleChange::Cancel(ScheduleKey::new(key)?)).await
    }

    /// What is scheduled under the key.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt) when it can't be read, or what the storage reports.
    pub async fn get(&self, key: impl AsRef<str>) -> Result<Option<ScheduledCommand>> {
        self.store.scheduled(self.defaults.tenant.as_ref(), key.as_ref()).await
    }

    async fn change(&self, change: ScheduleChange) -> Result<()> {
        let mut commit = Commit::new(self.defaults.clone());
        commit.schedule.push(change);
        self.store.append(commit).await.map(|_| ())
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule").field("store", &self.store).field("tenant", &self.defaults.tenant).finish()
    }
}
