//! Size limits of a store.

use crate::{Commit, Error};

/// The sizes a store accepts; anything larger is refused before it is written.
///
/// ```
/// # use es_core::Limits;
/// let limits = Limits { event_bytes: 1 << 20, ..Limits::default() };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of every name and id: of aggregates, commands, tenants, stream types, event types, constraints and their
    /// keys. Default 256, at most [`MAX_ID_BYTES`](crate::MAX_ID_BYTES).
    pub id_bytes: usize,
    /// Bytes of one event's payload. Default 256 KiB.
    pub event_bytes: usize,
    /// Bytes of the metadata of one event or scheduled command. Default 8 KiB.
    pub metadata_bytes: usize,
    /// Bytes of one command as it arrives. Default 512 KiB.
    pub command_bytes: usize,
    /// Values in one command: its fields, the elements of its lists, and those of the messages inside it. A decoded
    /// message can be many times as large as its bytes. They are counted roughly: a command within the limit is taken,
    /// one of three times as many is refused. Default 16,384.
    pub command_values: usize,
    /// Events of one commit. Default 1,000.
    pub commit_events: usize,
    /// Bytes of all payloads of one commit, commands scheduled with it included. Default 8 MiB.
    pub commit_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            id_bytes: 256,
            event_bytes: 256 << 10,
            metadata_bytes: 8 << 10,
            command_bytes: 512 << 10,
            command_values: 16 << 10,
            commit_events: 1_000,
            commit_bytes: 8 << 20,
        }
    }
}

impl Limits {
    /// Refuses an id over [`id_bytes`](Self::id_bytes).
    ///
    /// # Errors
    /// [`Error::TooLarge`] with the limit's name.
    pub fn check_id(&self, what: &'static str, id: &str) -> Result<(), Error> {
        at_most(what, self.id_bytes, id.len())
    }

    /// Refuses a command body over [`command_bytes`](Self::command_bytes).
    ///
    /// # Errors
    /// [`Error::TooLarge`] with the limit's name.
    pub fn check_command(&self, bytes: usize) -> Result<(), Error> {
        at_most("command", self.command_bytes, bytes)
    }

    /// Refuses a commit that is over any of the limits. Every store calls this before it writes.
    ///
    /// # Errors
    /// [`Error::TooLarge`] with the limit's name; [`Error::InvalidId`] for a unique key that is empty.
    pub fn check_commit(&self, commit: &Commit) -> Result<(), Error> {
        if let Some(tenant) = &commit.tenant {
            self.check_id("tenant", tenant.as_str())?;
        }
        if let Some(command) = &commit.command {
            self.check_id("command id", command.id.as_str())?;
        }
        let (mut events, mut bytes) = (0, 0);
        for append in &commit.streams {
            self.check_id("aggregate id", append.stream.id.as_str())?;
            self.check_id("stream type", &append.stream.stream_type)?;
            events += append.events.len();
            for event in &append.events {
                self.check_id("event type", &event.event_type)?;
                at_most("event", self.event_bytes, event.payload.len())?;
                bytes += event.payload.len();
                for change in &event.claims {
                    for (what, name) in [("constraint", &change.constraint), ("unique key", &change.key)] {
                        self.check_id(what, name)?;
                        if name.is_empty() {
                            // A field that was never set would take the empty key from everybody else.
                            return Err(Error::InvalidId { what, why: "it is empty".into() });
                        }
                    }
                }
            }
        }
        for change in &commit.schedule {
            self.check_id("schedule key", change.key().as_str())?;
        }
        for scheduled in commit.scheduled() {
            let request = scheduled.request();
            self.check_id("command id", scheduled.command_id().as_str())?;
            self.check_command(request.body.len())?;
            at_most("metadata", self.metadata_bytes, request.metadata.encoded_len())?;
            bytes += request.body.len();
        }
        at_most("metadata", self.metadata_bytes, commit.metadata.encoded_len())?;
        if events > self.commit_events {
            return Err(Error::TooManyEvents { limit: self.commit_events, actual: events });
        }
        at_most("commit", self.commit_bytes, bytes)
    }
}

fn at_most(what: &'static str, limit: usize, actual: usize) -> Result<(), Error> {
    if actual > limit { Err(Error::TooLarge { what, limit, actual }) } else { Ok(()) }
}
