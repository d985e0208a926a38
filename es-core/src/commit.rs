//! What is written to a store in one piece, all of it or nothing.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    CommandId, Encoding, Expected, Metadata, ScheduleChange, ScheduleKey, ScheduledCommand, StreamKey, Tenant,
    Timestamp, wire,
};

/// Events for one or more streams of one tenant, and the command they answer: stored together or not at all.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Commit {
    /// The tenant every stream of the commit belongs to.
    pub tenant: Option<Tenant>,
    /// What is appended where. A stream without events is checked for its version only.
    pub streams: Vec<StreamAppend>,
    /// The command this commit answers; recorded with it when it has an id.
    pub command: Option<CommandRecord>,
    /// Stored with each event.
    pub metadata: Metadata,
    /// Commands to be sent later, and those not to be sent after all. Made in order: the last change to a key counts.
    pub schedule: Vec<ScheduleChange>,
}

impl Commit {
    /// An empty commit of a tenant; the metadata names it.
    pub fn new(metadata: Metadata) -> Self {
        Self { tenant: metadata.tenant.clone(), metadata, ..Self::default() }
    }

    /// A commit of events to one stream.
    pub fn append(stream: StreamKey, expected: Expected, events: Vec<NewEvent>) -> Self {
        Self {
            tenant: stream.tenant.clone(),
            streams: vec![StreamAppend { stream, expected, events }],
            ..Self::default()
        }
    }

    /// Adds events to another stream of the same tenant.
    #[must_use]
    pub fn and(mut self, stream: StreamKey, expected: Expected, events: Vec<NewEvent>) -> Self {
        self.streams.push(StreamAppend { stream, expected, events });
        self
    }

    /// Sets the command this commit answers.
    #[must_use]
    pub fn command(mut self, command: CommandRecord) -> Self {
        self.command = Some(command);
        self
    }

    /// Sets the metadata stored with each event.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Sends a command later, in place of the one under the same key.
    #[must_use]
    pub fn schedule(mut self, command: ScheduledCommand) -> Self {
        self.schedule.push(ScheduleChange::Send(Box::new(command)));
        self
    }

    /// Forgets the command scheduled under a key.
    #[must_use]
    pub fn cancel(mut self, key: ScheduleKey) -> Self {
        self.schedule.push(ScheduleChange::Cancel(key));
        self
    }

    /// How many events the commit has.
    pub fn event_count(&self) -> usize {
        self.streams.iter().map(|append| append.events.len()).sum()
    }

    /// Bytes of all payloads and of all scheduled commands.
    pub fn byte_count(&self) -> usize {
        let events = self.streams.iter().flat_map(|append| &append.events).map(|event| event.payload.len());
        events.chain(self.scheduled().map(|command| command.request().body.len())).sum()
    }

    /// The commands to be sent later.
    pub fn scheduled(&self) -> impl Iterator<Item = &ScheduledCommand> {
        self.schedule.iter().filter_map(|change| match change {
            ScheduleChange::Send(command) => Some(&**command),
            ScheduleChange::Cancel(_) => None,
        })
    }

    /// Refuses what no store may write: a stream or command of another tenant, or one stream twice.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`](crate::Error::InvalidRequest).
    pub fn check_streams(&self) -> Result<(), crate::Error> {
        let of_command = self.command.iter().map(|command| &command.stream);
        let mut streams = self.streams.iter().map(|append| &append.stream).chain(of_command);
        if let Some(foreign) = streams.find(|stream| stream.tenant != self.tenant) {
            return Err(crate::Error::invalid_request(format!("{foreign} is of another tenant than its commit")));
        }
        if let Some(foreign) = self.scheduled().find(|command| command.tenant() != self.tenant.as_ref()) {
            let why = format!("the command scheduled under `{}` is for another tenant than its commit", foreign.key());
            return Err(crate::Error::invalid_request(why));
        }
        for (at, append) in self.streams.iter().enumerate() {
            if self.streams[..at].iter().any(|earlier| earlier.stream == append.stream) {
                return Err(crate::Error::invalid_request(format!("{} is in the commit twice", append.stream)));
            }
        }
        Ok(())
    }

    /// The commit's net effect on unique keys: what each stream gives back, then what it takes.
    ///
    /// Of several changes to one key by one stream the last counts. All releases come before all claims, so two
    /// streams can swap keys in one commit.
    pub fn claim_changes(&self) -> Vec<(&StreamKey, &ClaimChange)> {
        let mut last = BTreeMap::new();
        for append in &self.streams {
            for change in append.events.iter().flat_map(|event| &event.claims) {
                last.insert((&append.stream, &change.constraint, &change.key), change);
            }
        }
        let mut changes: Vec<_> = last.into_iter().map(|((stream, ..), change)| (stream, change)).collect();
        changes.sort_by_key(|(_, change)| !change.release);
        changes
    }
}

/// Events for one stream.
#[derive(Clone, Debug)]
pub struct StreamAppend {
    /// The stream.
    pub stream: StreamKey,
    /// What the writer takes for granted about it.
    pub expected: Expected,
    /// The events, in order. None: the version is checked and nothing is written.
    pub events: Vec<NewEvent>,
}

/// An encoded event on its way into a store.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Full proto name of the payload's message.
    pub event_type: Cow<'static, str>,
    /// Its schema version.
    pub schema_version: u32,
    /// How the payload is encoded.
    pub encoding: Encoding,
    /// The encoded event; it is never encoded again.
    pub payload: Vec<u8>,
    /// Unique keys taken and given back with it.
    pub claims: Vec<ClaimChange>,
}

impl NewEvent {
    /// Encodes an event of a set.
    ///
    /// # Errors
    /// Where the event has no encoded form.
    pub fn encode<S: crate::EventSet>(event: &S) -> Result<Self, crate::Error> {
        let mut payload = Vec::new();
        event.encode(&mut payload)?;
        Ok(Self {
            event_type: Cow::Borrowed(event.event_type()),
            schema_version: event.schema_version(),
            encoding: event.encoding(),
            payload,
            claims: Vec::new(),
        })
    }

    /// An event that is encoded already.
    pub fn raw(event_type: impl Into<Cow<'static, str>>, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            event_type: event_type.into(),
            schema_version: 1,
            encoding: Encoding::Protobuf,
            payload: payload.into(),
            claims: Vec::new(),
        }
    }

    /// Takes a unique key with this event.
    #[must_use]
    pub fn claim(mut self, constraint: impl Into<String>, key: impl Into<String>) -> Self {
        self.claims.push(ClaimChange { constraint: constraint.into(), key: key.into(), release: false });
        self
    }

    /// Gives a unique key back with this event.
    #[must_use]
    pub fn release(mut self, constraint: impl Into<String>, key: impl Into<String>) -> Self {
        self.claims.push(ClaimChange { constraint: constraint.into(), key: key.into(), release: true });
        self
    }
}

/// A unique key taken or given back. Giving back a key the stream does not hold changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimChange {
    /// The constraint: `email`.
    pub constraint: String,
    /// The key that no two streams may hold.
    pub key: String,
    /// Given back instead of taken.
    pub release: bool,
}

impl From<&ClaimChange> for wire::ClaimChange {
    fn from(change: &ClaimChange) -> Self {
        Self { constraint: change.constraint.clone(), key: change.key.clone(), release: change.release }
    }
}

impl From<wire::ClaimChange> for ClaimChange {
    fn from(change: wire::ClaimChange) -> Self {
        Self { constraint: change.constraint, key: change.key, release: change.release }
    }
}

/// SHA-256 over a command's method name and canonical bytes: tells a repeated command from a reused id.
pub type PayloadHash = [u8; 32];

/// A command's answer as it is recorded in the transaction of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRecord {
    /// The command's id.
    pub id: CommandId,
    /// What it asked for.
    pub payload_hash: PayloadHash,
    /// What it was answered.
    pub answer: Answer,
    /// The stream it was for.
    pub stream: StreamKey,
    /// The stream's version after it.
    pub version: u64,
}

/// What a command was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Carried out; the encoded response message.
    Accepted(Vec<u8>),
    /// Refused by the domain; an encoded [`wire::AppError`].
    Rejected(Vec<u8>),
}

/// A command's answer as it stands in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was recorded.
    pub record: CommandRecord,
    /// The commit's last position, or the head it was decided at when it has no events.
    pub position: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is stored.
    Committed(Committed),
    /// Its command was answered before; nothing was written.
    Replayed(Box<Outcome>),
}

impl Appended {
    /// The commit's last position, or the head when it has no events.
    pub fn position(&self) -> u64 {
        match self {
            Self::Committed(committed) => committed.position,
            Self::Replayed(outcome) => outcome.position,
        }
    }

    /// The stored commit, or `None` when the command was answered before.
    pub fn committed(self) -> Option<Committed> {
        match self {
            Self::Committed(committed) => Some(committed),
            Self::Replayed(_) => None,
        }
    }
}

/// Where a commit's events stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Position of its last event, or the head when it has none.
    pub position: u64,
    /// The version of each stream of the commit after it, in the commit's order.
    pub versions: Vec<u64>,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}
