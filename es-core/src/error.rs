//! What can go wrong, and whether trying again is safe.

use std::{fmt, path::PathBuf, time::Duration};

use crate::{AppError, CommandId, StreamKey, Timestamp};

mod codec;

pub use codec::{DecodeError, EncodeError};

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause of an error below us: the database's or the transport's own.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Everything that stores, repositories, transports and runners report.
///
/// [`retry`](Error::retry) says what a caller may do next. `Debug` shows the message and its causes, so that an error
/// that leaves `main` or meets an `unwrap` reads like one.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The service refused the command or query.
    #[error(transparent)]
    Rejected(#[from] AppError),

    /// Someone else wrote to the stream since it was read.
    #[error("conflict on {stream}: expected {expected}, found version {actual}")]
    Conflict {
        /// The stream that moved on.
        stream: StreamKey,
        /// What the writer took for granted.
        expected: String,
        /// The version it has; 0 when it does not exist.
        actual: u64,
    },
    /// A unique key is held by another stream. Whose, and which key, is not told.
    #[error("the value is already taken (unique constraint `{constraint}`)")]
    UniqueTaken {
        /// The constraint's name.
        constraint: String,
    },
    /// A command id came back with another command.
    #[error("command id {command_id} was already used for another command; give each command an id of its own")]
    CommandIdReused {
        /// The id.
        command_id: CommandId,
    },
    /// A command came longer after it was made, by what its id says, than answers to commands are kept. Whether it was
    /// carried out before is not known any more; now it was not.
    #[error(
        "command {command_id} has expired: it was made {}, and what was answered then is forgotten; look at the state, \
         and send a new command if it is still wanted",
        when_made(.command_id)
    )]
    CommandExpired {
        /// The id.
        command_id: CommandId,
    },
    /// One stream was enlisted twice at once in one command, or is the command's own.
    #[error(
        "{stream} is already part of this command: it is the command's own aggregate, or an earlier guard still has it"
    )]
    AlreadyEnlisted {
        /// The stream.
        stream: StreamKey,
    },
    /// An enlisted aggregate was not given back before the command ended.
    #[error("{stream} is still enlisted at the end of the command; drop its guard, don't forget it")]
    StillEnlisted {
        /// The stream.
        stream: StreamKey,
    },
    /// The store cannot do this.
    #[error("this store does not support {what}")]
    Unsupported {
        /// What was asked of it.
        what: &'static str,
    },

    /// An id that can't be one.
    #[error("invalid {what}: {why}")]
    InvalidId {
        /// Which id.
        what: &'static str,
        /// What is wrong, and where.
        why: String,
    },
    /// A request that can't be understood.
    #[error("invalid request: {why}")]
    InvalidRequest {
        /// What is wrong with it.
        why: String,
    },
    /// Something exceeds one of the store's [`Limits`](crate::Limits).
    #[error("the {what} is too large: {actual} bytes, the limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Bytes allowed.
        limit: usize,
        /// Bytes found.
        actual: usize,
    },
    /// A commit has too many events.
    #[error("the commit has too many events: {actual}, the limit is {limit}")]
    TooManyEvents {
        /// Events allowed.
        limit: usize,
        /// Events found.
        actual: usize,
    },
    /// No service or method of this name is served here.
    #[error("nothing serves `{route}` here")]
    NotServed {
        /// The service or the method asked for.
        route: String,
    },

    /// An event could not be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A stored event, or a message, could not be decoded.
    #[error("cannot decode {what}")]
    Decode {
        /// Which event or message.
        what: String,
        /// Why.
        source: DecodeError,
    },
    /// A stored event whose type the aggregate does not know.
    #[error("{stream} has an event of unknown type `{event_type}` at position {position}")]
    UnknownEventType {
        /// The stream.
        stream: StreamKey,
        /// The type as stored.
        event_type: String,
        /// Its position.
        position: u64,
    },
    /// Stored data is not what was written.
    #[error("corrupt data: {what}: {why}")]
    Corrupt {
        /// Where: "event at position 17".
        what: String,
        /// What gives it away.
        why: String,
    },
    /// Code of the application panicked. The panic's message is in the log, not here.
    #[error("{what} panicked")]
    HandlerPanicked {
        /// Whose code.
        what: String,
    },

    /// The store was busy for as long as we may wait.
    #[error("the store stayed busy for {waited:?}")]
    Busy {
        /// How long we waited.
        waited: Duration,
    },
    /// Too much is under way.
    #[error("too much is waiting in {what}; try again later")]
    Backpressure {
        /// Which queue is full.
        what: &'static str,
    },
    /// There is no room for more.
    #[error("storage is full: {path}")]
    StorageFull {
        /// The database.
        path: PathBuf,
        /// The database's own error.
        source: Source,
    },
    /// The database can't be written.
    #[error("the database is read-only: {path}")]
    ReadOnly {
        /// The database.
        path: PathBuf,
        /// The database's own error.
        source: Option<Source>,
    },
    /// Reading or writing failed below us.
    #[error("{what} failed")]
    Io {
        /// What was being done.
        what: String,
        /// The database's or system's own error.
        source: Source,
    },
    /// A statement is wrong, a constraint does not hold, or a column is not of the type that was asked for.
    #[error("{what} failed")]
    Database {
        /// What was being done.
        what: String,
        /// The database's own error.
        source: Source,
    },
    /// A commit whose outcome is not known: it may be stored or not.
    #[error("the outcome of the commit is not known; {}", match command_id { Some(id) => format!("repeat command {id} with the same id to learn it"), None => "read the stream to learn it (commands with an id can be repeated)".into() })]
    OutcomeUnknown {
        /// The command, when it had an id.
        command_id: Option<CommandId>,
        /// What went wrong.
        source: Option<Source>,
    },
    /// The file is not one of ours.
    #[error("{path} is not an event store: {why}")]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What gives it away.
        why: String,
    },
    /// The file was written by a newer version of this library.
    #[error(
        "{path} has schema version {found}, this program knows up to {supported}; update it (the file was left untouched)"
    )]
    SchemaTooNew {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The newest we know.
        supported: u32,
    },
    /// The database engine has a known defect that loses data.
    #[error("SQLite {version} is not safe here: {why}")]
    UnsafeEngine {
        /// The engine's version.
        version: String,
        /// The defect.
        why: &'static str,
    },
    /// A checkpoint belongs to another store.
    #[error("`{name}` was made from store {expected}, this is store {actual}; open that one, or delete the read model")]
    StoreIdentityChanged {
        /// The projection.
        name: String,
        /// The store it has followed.
        expected: String,
        /// The store it was given.
        actual: String,
    },
    /// A checkpoint lies beyond where the store was restored to: what follows it has seen events that are gone.
    #[error(
        "`{name}` has seen position {checkpoint}, and the store was since restored to its state at position \
         {restored_to}: it has seen events that are gone; rebuild it (or, where that can't be done, set right \
         what came of those events and call go_on_from_restore())"
    )]
    StoreRestored {
        /// The projection or reactor.
        name: String,
        /// How far it says it is.
        checkpoint: u64,
        /// Up to here the store has what it had before.
        restored_to: u64,
    },
    /// A checkpoint is of an epoch of the store that this copy of it knows nothing of.
    #[error(
        "`{name}` has followed this store in epoch {epoch}, of which this copy of it (epoch {present}) knows nothing: it \
         is an older copy, or was restored another time; open the store that it has followed, or rebuild it (what can't \
         be rebuilt needs another name)"
    )]
    EpochUnknown {
        /// The projection or reactor.
        name: String,
        /// The epoch it has followed.
        epoch: u64,
        /// The epoch of the store it was given.
        present: u64,
    },
    /// A checkpoint lies beyond the log's end: an older copy of the store's file was put in its place.
    #[error("`{name}` has seen position {checkpoint}, the store ends at {head}; rebuild it, or restore a newer store")]
    CheckpointAhead {
        /// The projection.
        name: String,
        /// How far it says it is.
        checkpoint: u64,
        /// Where the log ends.
        head: u64,
    },
    /// A projection handles other events than when its read model was made.
    #[error(
        "projection `{name}` {}; its read model was made without that: call rebuild()",
        changed_hooks(added, removed)
    )]
    ProjectionChanged {
        /// The projection.
        name: String,
        /// Event types it handles now and did not.
        added: Vec<String>,
        /// Event types it handled and does not any more.
        removed: Vec<String>,
    },
    /// Another owner moved a projection's checkpoint.
    #[error("`{name}` is also run elsewhere: its checkpoint is no longer {expected}")]
    CheckpointMoved {
        /// The projection.
        name: String,
        /// The checkpoint we had.
        expected: u64,
    },
    /// A read model is made again one at a time.
    #[error("projection `{name}` is being rebuilt already, here or in another process; wait until that is done")]
    RebuildUnderWay {
        /// The projection.
        name: String,
    },
    /// A projection or reactor stopped at an event it can't handle.
    #[error("`{name}` stopped at position {position}")]
    ProjectionFaulted {
        /// The projection.
        name: String,
        /// The event's position.
        position: u64,
        /// What its hook said.
        source: Source,
    },
    /// A reactor stopped amid sending, so long ago that the answers to its commands are no longer known.
    #[error(
        "`{name}` began to send the commands of events {from} to {to} at {since} and did not finish; their answers are \
         kept for less long, so sending them again may carry them out twice: see what was carried out, then call \
         send_again(), and resume() where a runner has it"
    )]
    SendingUnfinished {
        /// The reactor.
        name: String,
        /// The first event whose commands may have been sent.
        from: u64,
        /// The last one.
        to: u64,
        /// When the first command may have been sent.
        since: Timestamp,
    },
    /// No projection or reactor of this name runs here.
    #[error("nothing named `{name}` runs here, only: {}", running.join(", "))]
    UnknownProjection {
        /// The name asked for.
        name: String,
        /// The names of those that run.
        running: Vec<String>,
    },
    /// A projection or reactor did not get there in time.
    #[error("`{name}` is at position {checkpoint} after {waited:?}, not yet at {position}")]
    NotCaughtUp {
        /// The projection.
        name: String,
        /// Where it stands.
        checkpoint: u64,
        /// Where it was to be.
        position: u64,
        /// How long we waited.
        waited: Duration,
    },

    /// No answer came in time. A command may or may not have been carried out.
    #[error("no answer within {after:?}")]
    Timeout {
        /// How long we waited.
        after: Duration,
    },
    /// A server or a member of a group did not take us in, and will not until something is changed.
    #[error("refused by {by}: {why}")]
    Refused {
        /// Who refused.
        by: String,
        /// Why, and what to do about it.
        why: String,
    },
    /// A copy of the log is not a copy of this store's log. Nothing was overwritten.
    #[error("{what} has diverged from its store: {why}")]
    Diverged {
        /// Which copy.
        what: String,
        /// Where it differs, and what to do about it.
        why: String,
    },
    /// Nobody is there to answer, and nothing was done.
    #[error("unavailable: {why}")]
    Unavailable {
        /// Why.
        why: String,
    },
    /// The store, server or runner is closing; nothing was done.
    #[error("shutting down")]
    ShuttingDown,
}

/// The message, and under it what caused it.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            write!(f, "\n  caused by: {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

fn when_made(id: &CommandId) -> String {
    id.made_at().map_or("too long ago".to_owned(), |made| format!("at {made}"))
}

fn changed_hooks(added: &[String], removed: &[String]) -> String {
    let list = |names: &[String]| format!("`{}`", names.join("`, `"));
    match (added.is_empty(), removed.is_empty()) {
        (false, true) => format!("now handles {}", list(added)),
        (true, false) => format!("no longer handles {}", list(removed)),
        _ => format!("now handles {} and no longer {}", list(added), list(removed)),
    }
}

/// What a caller may do after an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Trying again gives the same answer, or does harm.
    Never,
    /// Nothing was done: trying again is safe.
    Safe,
    /// It may have been done: only a command with the same id may be sent again.
    SameIdOnly,
}

impl Error {
    /// Whether trying again is safe.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Conflict { .. }
            | Self::Busy { .. }
            | Self::CheckpointMoved { .. }
            | Self::RebuildUnderWay { .. }
            | Self::Backpressure { .. }
            | Self::StorageFull { .. }
            | Self::NotCaughtUp { .. }
            | Self::Unavailable { .. }
            | Self::ShuttingDown => Retry::Safe,
            Self::OutcomeUnknown { .. } | Self::Timeout { .. } => Retry::SameIdOnly,
            Self::Rejected(error) => error.retry(),
            Self::UniqueTaken { .. }
            | Self::CommandIdReused { .. }
            | Self::CommandExpired { .. }
            | Self::AlreadyEnlisted { .. }
            | Self::StillEnlisted { .. }
            | Self::Unsupported { .. }
            | Self::InvalidId { .. }
            | Self::InvalidRequest { .. }
            | Self::TooLarge { .. }
            | Self::TooManyEvents { .. }
            | Self::NotServed { .. }
            | Self::Encode(_)
            | Self::Decode { .. }
            | Self::UnknownEventType { .. }
            | Self::Corrupt { .. }
            | Self::HandlerPanicked { .. }
            | Self::ReadOnly { .. }
            | Self::Io { .. }
            | Self::Database { .. }
            | Self::NotAStore { .. }
            | Self::SchemaTooNew { .. }
            | Self::UnsafeEngine { .. }
            | Self::StoreIdentityChanged { .. }
            | Self::StoreRestored { .. }
            | Self::EpochUnknown { .. }
            | Self::CheckpointAhead { .. }
            | Self::ProjectionChanged { .. }
            | Self::ProjectionFaulted { .. }
            | Self::SendingUnfinished { .. }
            | Self::Refused { .. }
            | Self::Diverged { .. }
            | Self::UnknownProjection { .. } => Retry::Never,
        }
    }

    pub(crate) fn invalid_request(why: impl Into<String>) -> Self {
        Self::InvalidRequest { why: why.into() }
    }
}
