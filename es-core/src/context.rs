//! What a handler knows of its command, and how it brings in a second aggregate.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    AggregateId, Applier, Call, CommandId, Error, EventStore, Metadata, Result, Root, ScheduleChange, ScheduleKey,
    ScheduledCommand, SnapshotPolicy, StreamKey, Tenant, Timestamp, load, root::AnyRoot,
};

/// The command's circumstances: who sent it, when, under which id.
pub struct CommandContext {
    store: Arc<dyn EventStore>,
    stream: StreamKey,
    command_id: Option<CommandId>,
    metadata: Metadata,
    now: Timestamp,
    pub(crate) snapshots: SnapshotPolicy,
    enlisted: Mutex<Vec<Slot>>,
    schedule: Mutex<Vec<ScheduleChange>>,
}

/// What a handler did beside working on the command's own aggregate.
pub(crate) struct Work {
    pub(crate) enlisted: Vec<Box<dyn AnyRoot>>,
    pub(crate) schedule: Vec<ScheduleChange>,
}

/// One enlisted stream. Its root is `None` while a guard has it.
struct Slot {
    stream: StreamKey,
    root: Option<Box<dyn AnyRoot>>,
}

impl CommandContext {
    pub(crate) fn new(
        store: Arc<dyn EventStore>,
        stream: StreamKey,
        command_id: Option<CommandId>,
        metadata: Metadata,
        snapshots: SnapshotPolicy,
    ) -> Self {
        let now = store.now();
        let (enlisted, schedule) = Default::default();
        Self { store, stream, command_id, metadata, now, snapshots, enlisted, schedule }
    }

    /// The id the caller gave the command.
    pub fn command_id(&self) -> Option<&CommandId> {
        self.command_id.as_ref()
    }

    /// The id of the command's aggregate.
    pub fn aggregate_id(&self) -> &AggregateId {
        &self.stream.id
    }

    /// The tenant the command is for.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.metadata.tenant.as_ref()
    }

    /// Who sent the command.
    pub fn principal(&self) -> Option<&str> {
        self.metadata.principal_id.as_deref()
    }

    /// What the command belongs to.
    pub fn correlation_id(&self) -> Option<&str> {
        self.metadata.correlation_id.as_deref()
    }

    /// What caused the command.
    pub fn causation_id(&self) -> Option<&str> {
        self.metadata.causation_id.as_deref()
    }

    /// All that the caller said about the command; stored with each of its events.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// When the decision is made, by the store's clock. Stays the same during one decision.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Brings a second aggregate into the command: what it emits is stored together with the first's, or not at all.
    ///
    /// The guard gives it back when dropped; after that it may be enlisted again.
    ///
    /// ```
    /// # use es_core::{Applier, AppError, CommandContext, EventOf};
    /// async fn move_money<A: Applier, E: EventOf<A::Event>>(context: &CommandContext, event: E) -> Result<(), AppError> {
    ///     let mut target = context.enlist::<A>("acc-2").await?;
    ///     target.emit(event);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`AlreadyEnlisted`](Error::AlreadyEnlisted) while another guard has it, or when it is the command's own
    /// aggregate; [`Unsupported`](Error::Unsupported) where the store can't commit to several streams; and as
    /// [`Repository::load`](crate::Repository::load).
    pub async fn enlist<B: Applier>(&self, id: impl AsRef<str>) -> Result<Enlisted<'_, B>> {
        if !self.store.is_atomic_over_streams() {
            return Err(Error::Unsupported { what: "a commit over several streams" });
        }
        let id = id.as_ref();
        self.store.limits().check_id("aggregate id", id)?;
        let stream = StreamKey::new(self.metadata.tenant.clone(), B::TYPE, AggregateId::new(id)?);
        let loading = match self.reserve(&stream)? {
            Reserved::Returned(root) => return self.guard(stream, root),
            Reserved::New(loading) => loading,
        };
        let root = load::load::<B>(&self.store, stream).await?;
        loading.done();
        Ok(Enlisted { context: self, root: Some(root) })
    }

    /// Sends a call later, unless it is cancelled under its key before: stored together with what the command emits,
    /// or not at all. It takes the place of what is scheduled under the same key; of several changes to one key within
    /// a command the last one counts.
    ///
    /// The call is an un-awaited one of any generated client. It is sent by [`Deliveries`](crate::Deliveries), at least
    /// once and always with the same command id: its own, or one made of tenant, key, time and content. What it leaves
    /// open comes from this command: the tenant, the correlation and the trace context, and this command as its cause.
    /// The principal does not: say on the call who sends it. The call's timeout counts for nothing.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use es_core::{AppError, Call, CommandContext};
    /// fn remind_tomorrow<R>(context: &CommandContext, call: Call<R>) -> Result<(), AppError> {
    ///     let tomorrow = context.now().saturating_add(Duration::from_secs(24 * 60 * 60));
    ///     context.schedule(format!("reminder-{}", context.aggregate_id()), tomorrow, call)?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`InvalidId`](Error::InvalidId) for a bad key, what was wrong with the call, or
    /// [`InvalidRequest`](Error::InvalidRequest) when it is for another tenant.
    pub fn schedule<R>(&self, key: impl AsRef<str>, due: Timestamp, call: Call<R>) -> Result<()> {
        let own = &self.metadata;
        let defaults = Metadata {
            tenant: own.tenant.clone(),
            correlation_id: own.correlation_id.clone(),
            causation_id: self.command_id.as_ref().map(ToString::to_string).or_else(|| own.causation_id.clone()),
            traceparent: own.traceparent.clone(),
            ..Metadata::default()
        };
        let command = ScheduledCommand::of_call(key.as_ref(), due, call, &defaults)?;
        self.change_schedule(ScheduleChange::Send(Box::new(command)));
        Ok(())
    }

    /// Forgets what is scheduled under a key, together with what the command emits. It does no harm when there is
    /// nothing.
    ///
    /// # Errors
    /// [`InvalidId`](Error::InvalidId) for a bad key.
    pub fn cancel(&self, key: impl AsRef<str>) -> Result<()> {
        self.change_schedule(ScheduleChange::Cancel(ScheduleKey::new(key)?));
        Ok(())
    }

    fn change_schedule(&self, change: ScheduleChange) {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }

    /// Takes the slot of a stream, so that no second guard can have it.
    fn reserve(&self, stream: &StreamKey) -> Result<Reserved<'_>> {
        let taken = || Error::AlreadyEnlisted { stream: stream.clone() };
        if *stream == self.stream {
            return Err(taken());
        }
        let mut slots = self.slots();
        if let Some(slot) = slots.iter_mut().find(|slot| slot.stream == *stream) {
            return Ok(Reserved::Returned(slot.root.take().ok_or_else(taken)?));
        }
        slots.push(Slot { stream: stream.clone(), root: None });
        Ok(Reserved::New(Loading { context: self, stream: Some(stream.clone()) }))
    }

    /// Wraps a root that was enlisted before.
    fn guard<B: Applier>(&self, stream: StreamKey, root: Box<dyn AnyRoot>) -> Result<Enlisted<'_, B>> {
        // Two Rust types may fold one stream; the one that enlisted it first has it.
        let root = root.into_any().downcast::<Root<B>>().map_err(|_| Error::AlreadyEnlisted { stream })?;
        Ok(Enlisted { context: self, root: Some(*root) })
    }

    /// What belongs to the command beside its own aggregate, when the handler is done.
    pub(crate) fn into_work(self) -> Result<Work> {
        let slots = self.enlisted.into_inner().unwrap_or_else(PoisonError::into_inner);
        let returned = |slot: Slot| slot.root.ok_or(Error::StillEnlisted { stream: slot.stream });
        let enlisted = slots.into_iter().map(returned).collect::<Result<_>>()?;
        Ok(Work { enlisted, schedule: self.schedule.into_inner().unwrap_or_else(PoisonError::into_inner) })
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.enlisted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CommandContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandContext")
            .field("stream", &self.stream)
            .field("command_id", &self.command_id)
            .field("metadata", &self.metadata)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

enum Reserved<'c> {
    New(Loading<'c>),
    Returned(Box<dyn AnyRoot>),
}

/// Frees the slot again when loading fails or is abandoned.
struct Loading<'c> {
    context: &'c CommandContext,
    stream: Option<StreamKey>,
}

impl Loading<'_> {
    fn done(mut self) {
        self.stream = None;
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            self.context.slots().retain(|slot| slot.stream != *stream);
        }
    }
}

/// A second aggregate of a command. Reads and emits like its root; dropping it gives it back to the command.
#[must_use = "emit on it, or drop it"]
pub struct Enlisted<'c, B: Applier> {
    context: &'c CommandContext,
    root: Option<Root<B>>,
}

impl<B: Applier> Deref for Enlisted<'_, B> {
    type Target = Root<B>;

    fn deref(&self) -> &Root<B> {
        self.root.as_ref().expect("the root leaves its guard only when that is dropped")
    }
}

impl<B: Applier> DerefMut for Enlisted<'_, B> {
    fn deref_mut(&mut self) -> &mut Root<B> {
        self.root.as_mut().expect("the root leaves its guard only when that is dropped")
    }
}

impl<B: Applier> Drop for Enlisted<'_, B> {
    fn drop(&mut self) {
        let Some(root) = self.root.take() else { return };
        let mut slots = self.context.slots();
        if let Some(slot) = slots.iter_mut().find(|slot| slot.stream == *root.stream()) {
            slot.root = Some(Box::new(root));
        }
    }
}

impl<B: Applier> fmt::Debug for Enlisted<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Enlisted").field(&self.root).finish()
    }
}

/// The query's circumstances: who asks, for which tenant.
#[derive(Clone, Debug)]
pub struct QueryContext {
    metadata: Metadata,
}

impl QueryContext {
    pub(crate) fn new(metadata: Metadata) -> Self {
        Self { metadata }
    }

    /// The tenant the query is for.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.metadata.tenant.as_ref()
    }

    /// Who asks.
    pub fn principal(&self) -> Option<&str> {
        self.metadata.principal_id.as_deref()
    }

    /// All that the caller said about the query.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}
