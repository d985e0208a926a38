//! Appending one commit inside the writer's transaction: first all that can be refused, then all that is written.

use std::{borrow::Cow, collections::HashSet};

use es_core::{Appended, ClaimChange, CommandId, Commit, Committed, Error, NewEvent, Outcome, StreamKey, Timestamp};

use super::{
    batch::{Broken, Transaction, Work},
    inline,
    ledger::{End, Stream},
    queue::Reply,
};
use crate::{
    claims, commands,
    event_row::{EventRow, encoding_column},
    failpoint::reached,
    schedule,
};

/// A commit on its way into the file.
pub(crate) struct Append {
    commit: Commit,
    /// The stored form of the metadata, of all events that change no unique keys. Encoded by the caller: the writer's
    /// time is everybody's.
    metadata: Vec<u8>,
    schedule: Vec<schedule::Change>,
    reply: Option<Reply<Box<Self>>>,
    answer: Option<Result<Appended, Error>>,
}

impl Append {
    /// The answer goes to `reply` as the whole of this: the caller frees the commit as well.
    pub(crate) fn new(commit: Commit, reply: Reply<Box<Self>>) -> Self {
        let command = commit.command.as_ref().map(|command| &command.id);
        let metadata = commit.metadata.to_stored(command, &[]);
        let schedule = schedule::changes(&commit);
        Self { commit, metadata, schedule, reply: Some(reply), answer: None }
    }

    /// What became of the commit.
    pub(crate) fn into_answer(self) -> Result<Appended, Error> {
        self.answer.unwrap_or(Err(Error::OutcomeUnknown { command_id: None, source: None }))
    }
}

impl Work for Append {
    fn apply(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Broken> {
        if let Some(reply) = &mut self.reply {
            reply.start();
        }
        let (commit, metadata, schedule) = (&self.commit, &self.metadata, &self.schedule);
        let answer = match inline::kept(transaction, |transaction| append(commit, metadata, schedule, transaction)) {
            Ok(appended) => Ok(appended),
            Err(Stop::Refused(error)) => Err(error),
            Err(Stop::Broken(broken)) => return Err(broken),
        };
        // A read that failed ends the transaction; what failed is what the caller is told.
        if transaction.connection.is_autocommit() {
            return Err(Broken::ended("appending", answer.err()));
        }
        self.answer = Some(answer);
        Ok(())
    }

    fn answer(mut self: Box<Self>) {
        // Dropped unanswered, the reply says that the outcome is not known.
        if self.answer.is_some()
            && let Some(reply) = self.reply.take()
        {
            reply.send(Ok(self));
        }
    }

    fn fail(mut self: Box<Self>, error: Error) {
        if let Some(reply) = self.reply.take() {
            reply.send(Err(error));
        }
    }

    fn command(&self) -> Option<&CommandId> {
        self.commit.command.as_ref().map(|command| &command.id)
    }
}

/// Why an append ends early.
pub(super) enum Stop {
    /// Before anything was written.
    Refused(Error),
    /// In the middle.
    Broken(Broken),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

fn append(
    commit: &Commit,
    metadata: &[u8],
    schedule: &[schedule::Change],
    transaction: &mut Transaction<'_>,
) -> Result<Appended, Stop> {
    let changes = commit.claim_changes();
    let mut streams = match admissible(commit, &changes, transaction) {
        Ok(streams) => streams,
        // A command that was answered gets its answer, whatever became of its streams since.
        Err(Stop::Refused(error)) => {
            return answered_before(commit, transaction)?.map(replayed).ok_or(Stop::Refused(error));
        }
        Err(broken) => return Err(broken),
    };
    let events = commit.event_count() as u64;
    let End { position: before, recorded_at } = *transaction.ledger.end();
    let recorded_at = transaction.now.max(recorded_at);
    // First of what is written, since it tells whether the command was answered before.
    if let Some(command) = &commit.command {
        let new = transaction
            .command()
            .and_then(|statement| commands::record(statement, command, before + events, recorded_at))
            .map_err(Broken::by("recording a command"))?;
        reached("after recording the command");
        if !new {
            let unreadable = || Error::Corrupt {
                what: format!("the answer to command {}", command.id),
                why: "its id is taken, and no row has it".into(),
            };
            return answered_before(commit, transaction)?.map(replayed).ok_or_else(|| Stop::Refused(unreadable()));
        }
    }
    if events > 0 {
        *transaction.ledger.end() = End { position: before + events, recorded_at };
    }
    let mut placed = Placed { position: before + 1, first: before + 1, last: before + events, recorded_at };
    for (append, stream) in commit.streams.iter().zip(&mut streams) {
        if append.events.is_empty() {
            continue;
        }
        let mut known = match *stream {
            Some(known) => known,
            None => transaction
                .ledger
                .create(transaction.connection, &append.stream)
                .map_err(Broken::by("naming a stream"))?,
        };
        reached("after naming a stream");
        for event in &append.events {
            known.version += 1;
            insert(event, known, placed, &metadata_of(event, commit, metadata), transaction)
                .map_err(Broken::by("appending events"))?;
            reached("after inserting an event");
            placed.position += 1;
        }
        transaction.ledger.moved(&append.stream, known);
        *stream = Some(known);
    }
    take_keys(commit, &changes, &streams, transaction).map_err(Broken::by("recording unique keys"))?;
    reached("after taking unique keys");
    schedule::apply(transaction.connection, commit.tenant.as_ref(), schedule)
        .map_err(Broken::by("changing the schedule"))?;
    reached("after changing the schedule");
    let position = placed.last;
    let recorded_at = Timestamp::from_micros(recorded_at);
    let versions = streams.iter().map(|stream| stream.map_or(0, |stream| stream.version)).collect();
    Ok(Appended::Committed(Committed { position, versions, recorded_at }))
}

/// The streams of a commit that nothing speaks against.
fn admissible(
    commit: &Commit,
    changes: &Changes<'_>,
    transaction: &mut Transaction<'_>,
) -> Result<Vec<Option<Stream>>, Stop> {
    let streams = as_expected(commit, transaction)?;
    reached("after looking up the streams");
    keys_are_free(commit, changes, &streams, transaction)?;
    reached("after looking up unique keys");
    Ok(streams)
}

fn replayed(outcome: Outcome) -> Appended {
    Appended::Replayed(Box::new(outcome))
}

/// The recorded answer, if the command has one.
fn answered_before(commit: &Commit, transaction: &Transaction<'_>) -> Result<Option<Outcome>, Stop> {
    let Some(command) = &commit.command else { return Ok(None) };
    let Transaction { connection, place, .. } = *transaction;
    // A damaged row concerns this command only.
    let outcome = commands::outcome(connection, place, commit.tenant.as_ref(), &command.id).map_err(Stop::Refused)?;
    match outcome {
        Some(outcome) if outcome.record.payload_hash != command.payload_hash => {
            Err(Stop::Refused(Error::CommandIdReused { command_id: command.id.clone() }))
        }
        outcome => Ok(outcome),
    }
}

/// The streams of a commit as they stand, all of them as expected.
fn as_expected(commit: &Commit, transaction: &mut Transaction<'_>) -> Result<Vec<Option<Stream>>, Stop> {
    let mut streams = Vec::with_capacity(commit.streams.len());
    for append in &commit.streams {
        let stream = transaction
            .ledger
            .stream(transaction.connection, &append.stream)
            .map_err(Broken::by("looking up a stream"))?;
        let actual = stream.map_or(0, |stream| stream.version);
        if !append.expected.admits(actual) {
            let (stream, expected) = (append.stream.clone(), append.expected.to_string());
            return Err(Stop::Refused(Error::Conflict { stream, expected, actual }));
        }
        streams.push(stream);
    }
    Ok(streams)
}

/// A commit's net effect on unique keys: [`Commit::claim_changes`].
type Changes<'c> = [(&'c StreamKey, &'c ClaimChange)];

/// Refuses a key that another stream holds and does not give back in this very commit.
fn keys_are_free(
    commit: &Commit,
    changes: &Changes<'_>,
    streams: &[Option<Stream>],
    transaction: &Transaction<'_>,
) -> Result<(), Stop> {
    let mut given_back = HashSet::new();
    let mut taken = HashSet::new();
    for (key, change) in changes {
        let at = commit.streams.iter().position(|append| append.stream == **key);
        let own = at.and_then(|at| streams[at]).map(|stream| stream.id);
        let name = (change.constraint.as_str(), change.key.as_str());
        if change.release {
            given_back.insert((own, name));
            continue;
        }
        let holder = claims::holder(transaction.connection, commit.tenant.as_ref(), name.0, name.1)
            .map_err(Broken::by("looking up a unique key"))?;
        let free = holder.is_none() || holder == own || given_back.contains(&(holder, name));
        if !free || !taken.insert(name) {
            return Err(Stop::Refused(Error::UniqueTaken { constraint: change.constraint.clone() }));
        }
    }
    Ok(())
}

fn take_keys(
    commit: &Commit,
    changes: &Changes<'_>,
    streams: &[Option<Stream>],
    transaction: &Transaction<'_>,
) -> rusqlite::Result<()> {
    for (key, change) in changes {
        let at = commit.streams.iter().position(|append| append.stream == **key);
        if let Some(stream) = at.and_then(|at| streams[at]) {
            claims::change(transaction.connection, commit.tenant.as_ref(), change, stream.id)?;
        }
    }
    Ok(())
}

/// Where an event goes.
#[derive(Clone, Copy)]
struct Placed {
    position: u64,
    first: u64,
    last: u64,
    recorded_at: i64,
}

/// The stored form of an event's metadata.
fn metadata_of<'m>(event: &NewEvent, commit: &Commit, plain: &'m [u8]) -> Cow<'m, [u8]> {
    if event.claims.is_empty() {
        return plain.into();
    }
    let command = commit.command.as_ref().map(|command| &command.id);
    commit.metadata.to_stored(command, &event.claims).into()
}

fn insert(
    event: &NewEvent,
    stream: Stream,
    placed: Placed,
    metadata: &[u8],
    transaction: &mut Transaction<'_>,
) -> rusqlite::Result<()> {
    let mut row = EventRow {
        position: placed.position,
        stream: stream.id,
        version: stream.version,
        event_type: transaction.ledger.event_type(transaction.connection, &event.event_type)?,
        schema_version: event.schema_version,
        encoding: encoding_column(event.encoding),
        commit_index: placed.position - placed.first,
        commit_rest: placed.last - placed.position,
        recorded_at: placed.recorded_at,
        checksum: 0,
        metadata,
        payload: &event.payload,
    };
    reached("after naming a type");
    row.checksum = row.sum(stream.checksum, &event.event_type);
    row.insert(transaction.event()?)
}
