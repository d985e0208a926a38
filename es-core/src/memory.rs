//! A store in memory: for tests, and for programs that need nothing kept.

mod checkpoints;
mod scheduled;

use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use self::scheduled::Scheduled;
use crate::{
    Appended, Clock, CommandId, CommandRecord, Commit, Committed, Error, EventLog, EventMeta, EventStore, Filter,
    Limits, Outcome, Page, RecordedEvent, RecordedRef, Result, ScheduledCommand, Snapshot, StoreIdentity, StreamKey,
    SystemClock, Tenant, Timestamp,
    store::{BoxFuture, Visitor},
};

/// An event store in memory. Clones share it.
///
/// ```
/// # use es_core::{Commit, EventLog, EventStore, Expected, MemoryStore, NewEvent, StreamKey};
/// # async fn example() -> es_core::Result<()> {
/// let store = MemoryStore::new();
/// let stream = StreamKey::new(None, "bank.v1.Account", "acc-1".try_into()?);
/// store.append(Commit::append(stream, Expected::NoStream, vec![NewEvent::raw("bank.v1.AccountOpened", b"..")])).await?;
/// assert_eq!(store.head().await?, 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct MemoryStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    identity: StoreIdentity,
    limits: Limits,
    clock: Box<dyn Clock>,
    head: watch::Sender<u64>,
    state: Mutex<State>,
    checkpoints: checkpoints::Checkpoints,
}

#[derive(Debug, Default)]
struct State {
    /// The event at position `n` is `log[n - 1]`.
    log: Vec<RecordedEvent>,
    /// The positions of a stream's events: version `n` is at `streams[..][n - 1]`.
    streams: HashMap<StreamKey, Vec<u64>>,
    commands: HashMap<(Option<Tenant>, CommandId), Outcome>,
    claims: HashMap<(Option<Tenant>, String, String), StreamKey>,
    snapshots: HashMap<(StreamKey, u64), Snapshot>,
    scheduled: Scheduled,
    /// Answers recorded before this time were forgotten.
    answers_since: Option<Timestamp>,
}

impl MemoryStore {
    /// An empty store with the default limits and the machine's clock.
    pub fn new() -> Self {
        Self::with(Limits::default(), SystemClock)
    }

    /// An empty store with limits and a clock of its own.
    pub fn with(limits: Limits, clock: impl Clock) -> Self {
        Self(Arc::new(Shared {
            identity: StoreIdentity { id: uuid::Uuid::now_v7(), epoch: 0 },
            limits,
            clock: Box::new(clock),
            head: watch::Sender::new(0),
            state: Mutex::default(),
            checkpoints: checkpoints::Checkpoints::default(),
        }))
    }

    /// Forgets the answers to commands that were recorded before this time, as a store on disk does after a
    /// [week](crate::store::ANSWERS_ARE_KEPT). By itself, a store in memory forgets none.
    pub fn forget_answers_before(&self, time: Timestamp) {
        let mut state = self.state();
        state.commands.retain(|_, outcome| outcome.recorded_at >= time);
        state.answers_since = state.answers_since.max(Some(time));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, commit: &Commit) -> Result<Appended> {
        self.0.limits.check_commit(commit)?;
        commit.check_streams()?;
        let mut state = self.state();
        let appended = state.append(commit, self.0.clock.now())?;
        // Told while the state is locked, so that the head is never told backwards; and told where it has not moved, so
        // that what was scheduled is noticed.
        self.0.head.send_replace(state.head());
        Ok(appended)
    }

    /// The events of a stream after a version; copied, so that a visitor may use the store.
    fn tail(&self, stream: &StreamKey, after: u64) -> Vec<RecordedEvent> {
        let state = self.state();
        let positions = state.streams.get(stream).map_or(&[][..], |all| all.get(index(after)..).unwrap_or_default());
        positions.iter().map(|position| state.log[index(*position) - 1].clone()).collect()
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn head(&self) -> u64 {
        self.log.len() as u64
    }

    fn version(&self, stream: &StreamKey) -> u64 {
        self.streams.get(stream).map_or(0, |positions| positions.len() as u64)
    }

    fn append(&mut self, commit: &Commit, now: Timestamp) -> Result<Appended> {
        if let Some(command) = &commit.command
            && let Some(outcome) = self.commands.get(&(commit.tenant.clone(), command.id.clone()))
        {
            return replayed(outcome, command);
        }
        self.check_versions(commit)?;
        self.change_claims(commit)?;
        let recorded_at = self.log.last().map_or(now, |last| last.meta.recorded_at.max(now));
        self.record(commit, recorded_at);
        for change in &commit.schedule {
            self.scheduled.change(commit.tenant.as_ref(), change);
        }
        let position = self.head();
        if let Some(record) = &commit.command {
            let outcome = Outcome { record: record.clone(), position, recorded_at };
            self.commands.insert((commit.tenant.clone(), record.id.clone()), outcome);
        }
        let versions = commit.streams.iter().map(|append| self.version(&append.stream)).collect();
        Ok(Appended::Committed(Committed { position, versions, recorded_at }))
    }

    fn check_versions(&self, commit: &Commit) -> Result<()> {
        for append in &commit.streams {
            let actual = self.version(&append.stream);
            if !append.expected.admits(actual) {
                return Err(Error::Conflict {
                    stream: append.stream.clone(),
                    expected: append.expected.to_string(),
                    actual,
                });
            }
        }
        Ok(())
    }

    fn change_claims(&mut self, commit: &Commit) -> Result<()> {
        let key = |change: &crate::ClaimChange| (commit.tenant.clone(), change.constraint.clone(), change.key.clone());
        // Tried on a copy of what is touched, so that a refused commit leaves no trace.
        let mut touched = HashMap::new();
        for (stream, change) in commit.claim_changes() {
            let held = touched.entry(key(change)).or_insert_with_key(|key| self.claims.get(key).cloned());
            match held {
                Some(holder) if change.release && holder == stream => *held = None,
                Some(holder) if !change.release && holder != stream => {
                    return Err(Error::UniqueTaken { constraint: change.constraint.clone() });
                }
                None if !change.release => *held = Some(stream.clone()),
                _ => {}
            }
        }
        for (key, holder) in touched {
            match holder {
                Some(stream) => self.claims.insert(key, stream),
                None => self.claims.remove(&key),
            };
        }
        Ok(())
    }

    fn record(&mut self, commit: &Commit, recorded_at: Timestamp) {
        let first = self.head() + 1;
        let last = self.head() + commit.event_count() as u64;
        let command = commit.command.as_ref().map(|record| &record.id);
        for append in &commit.streams {
            for event in &append.events {
                let position = self.head() + 1;
                let positions = self.streams.entry(append.stream.clone()).or_default();
                positions.push(position);
                let event_type = Arc::from(&*event.event_type);
                let mut meta =
                    EventMeta::new(Arc::new(append.stream.clone()), positions.len() as u64, position, event_type);
                meta.commit_first = first;
                meta.commit_last = last;
                meta.schema_version = event.schema_version;
                meta.encoding = event.encoding;
                meta.recorded_at = recorded_at;
                meta.stored_origin = commit.metadata.to_stored(command, &event.claims).into();
                self.log.push(RecordedEvent { meta, payload: event.payload.clone().into() });
            }
        }
    }
}

fn replayed(outcome: &Outcome, command: &CommandRecord) -> Result<Appended> {
    if outcome.record.payload_hash == command.payload_hash {
        Ok(Appended::Replayed(Box::new(outcome.clone())))
    } else {
        Err(Error::CommandIdReused { command_id: command.id.clone() })
    }
}

/// Positions and versions index vectors here, which can't be longer than memory.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl EventLog for MemoryStore {
    fn read_all<'a>(&'a self, after: u64, limit: usize, filter: &'a Filter) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move {
            let state = self.state();
            let Some(rest) = state.log.get(index(after)..).filter(|rest| !rest.is_empty() && limit > 0) else {
                return Ok(Page { events: Vec::new(), scanned_to: after });
            };
            // The page ends where the commit of its last event ends.
            let scanned_to = rest[limit.min(rest.len()) - 1].meta.commit_last;
            let scanned = &state.log[index(after)..index(scanned_to)];
            let events = scanned.iter().filter(|event| filter.admits(&event.meta)).cloned().collect();
            Ok(Page { events, scanned_to })
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<u64>> {
        Box::pin(async move { Ok(self.state().head()) })
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.0.head.subscribe()
    }

    fn identity(&self) -> StoreIdentity {
        self.0.identity
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}

impl EventStore for MemoryStore {
    fn append(&self, commit: Commit) -> BoxFuture<'_, Result<Appended>> {
        Box::pin(async move { self.write(&commit) })
    }

    fn fold<'a>(&'a self, stream: &'a StreamKey, after: u64, visit: &'a mut Visitor<'a>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let mut version = after;
            for event in self.tail(stream, after) {
                let meta = &event.meta;
                version = meta.version;
                let (position, recorded_at) = (meta.position, meta.recorded_at);
                let recorded = RecordedRef { version, position, recorded_at, event: event.encoded() };
                if let ControlFlow::Break(()) = visit(recorded)? {
                    break;
                }
            }
            Ok(version)
        })
    }

    fn version<'a>(&'a self, stream: &'a StreamKey) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { Ok(self.state().version(stream)) })
    }

    fn outcome<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        command: &'a CommandId,
    ) -> BoxFuture<'a, Result<Option<Outcome>>> {
        Box::pin(async move { Ok(self.state().commands.get(&(tenant.cloned(), command.clone())).cloned()) })
    }

    fn answers_since(&self) -> Timestamp {
        self.state().answers_since.unwrap_or(Timestamp::from_micros(i64::MIN))
    }

    fn snapshot<'a>(&'a self, stream: &'a StreamKey, fingerprint: u64) -> BoxFuture<'a, Result<Option<Snapshot>>> {
        Box::pin(async move { Ok(self.state().snapshots.get(&(stream.clone(), fingerprint)).cloned()) })
    }

    fn offer_snapshot(&self, snapshot: Snapshot) {
        let mut state = self.state();
        if !(1..=state.version(&snapshot.stream)).contains(&snapshot.version) {
            return;
        }
        let key = (snapshot.stream.clone(), snapshot.fingerprint);
        if state.snapshots.get(&key).is_none_or(|kept| kept.version < snapshot.version) {
            state.snapshots.insert(key, snapshot);
        }
    }

    fn claimant<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        constraint: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<StreamKey>>> {
        Box::pin(async move {
            Ok(self.state().claims.get(&(tenant.cloned(), constraint.to_owned(), key.to_owned())).cloned())
        })
    }

    fn scheduled<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<ScheduledCommand>>> {
        Box::pin(async move { Ok(self.state().scheduled.get(tenant, key)) })
    }

    fn due(&self, now: Timestamp, limit: usize) -> BoxFuture<'_, Result<Vec<Result<ScheduledCommand>>>> {
        Box::pin(async move { Ok(self.state().scheduled.due(now, limit).into_iter().map(Ok).collect()) })
    }

    fn next_due(&self, after: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>>> {
        Box::pin(async move { Ok(self.state().scheduled.next_due(after)) })
    }

    fn lease<'a>(
        &'a self,
        command: &'a ScheduledCommand,
        ended: Timestamp,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(self.state().scheduled.lease(command, ended, until)) })
    }

    fn settle<'a>(&'a self, command: &'a ScheduledCommand) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(self.state().scheduled.settle(command)) })
    }

    fn limits(&self) -> &Limits {
        &self.0.limits
    }
}
