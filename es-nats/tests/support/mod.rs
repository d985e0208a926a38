//! A store, a server and a relay between them; and the checker that compares the stream with the store.

#![allow(dead_code, unreachable_pub)]
use std::{
    fs::{self, File},
    path::PathBuf,
    time::{Duration, Instant},
};

use async_nats::jetstream::{self, consumer::pull, stream};
use bytes::Bytes;
use es_core::{
    AggregateId, Commit, Event, EventLog, EventStore, Expected, Filter, Metadata, NewEvent, RecordedEvent, Result,
    Runner, StreamKey, Tenant,
    error::{DecodeError, EncodeError},
    runner::{Running, State, Status},
};
use es_nats::{Content, Envelope, Nats, Relay};
use es_sqlite::SqliteStore;
use futures_util::StreamExt;
use tempfile::TempDir;
use test_servers::NatsServer;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(180);
/// The relay's name, and its stream's.
pub const NAME: &str = "relay:bank";
pub const STREAM: &str = "bank";

/// Whether the long form was asked for.
pub fn is_long() -> bool {
    std::env::var("TORTURE").is_ok_and(|form| form == "long")
}

/// A store in a folder of its own, and a server.
pub struct Rig {
    folder: TempDir,
    pub server: NatsServer,
    pub store: SqliteStore,
}

impl Rig {
    pub async fn new() -> Self {
        Self::with(NatsServer::start().await.unwrap()).await
    }

    pub async fn with(server: NatsServer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("bank.db")).await.unwrap();
        Self { folder, server, store }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub async fn nats(&self) -> Nats {
        Nats::connect(self.server.url()).await.unwrap()
    }

    pub async fn relay(&self) -> Relay {
        Relay::builder(&self.nats().await).stream(STREAM).build(&self.store).await.unwrap()
    }

    pub async fn start(&self) -> Running {
        Runner::new(self.store.clone()).run(self.relay().await).start().unwrap()
    }

    pub async fn jetstream(&self) -> jetstream::Context {
        jetstream::new(async_nats::connect(self.server.url()).await.unwrap())
    }

    pub async fn stream(&self) -> stream::Stream {
        self.jetstream().await.get_stream(STREAM).await.unwrap()
    }

    /// A relay to another stream, with its name as the prefix.
    pub async fn relay_to(&self, stream: &str) -> Relay {
        Relay::builder(&self.nats().await).stream(stream).prefix(stream).build(&self.store).await.unwrap()
    }

    /// Runs a relay until it has relayed everything.
    pub async fn run_until_equal(&self, relay: &Relay, stream: &str) {
        let running = Runner::new(self.store.clone()).run(relay.clone()).start().unwrap();
        let head = self.store.head().await.unwrap();
        let live = |status: &Status| status.checkpoint >= head && matches!(status.state, State::Live);
        reached_as(&running, &format!("relay:{stream}"), live).await;
        running.shutdown().await;
    }

    /// Waits until everything the store has is relayed.
    pub async fn relayed(&self, running: &Running) {
        let head = self.store.head().await.unwrap();
        reached(running, |status| status.checkpoint >= head).await;
    }

    /// Waits until everything the store has is relayed, and checks the stream.
    pub async fn equal(&self, running: &Running) {
        self.relayed(running).await;
        assert_equal(&self.stream().await, &self.store).await;
    }
}

/// The event that is appended here: any bytes.
#[derive(Clone, Debug)]
pub struct Deposited(pub Vec<u8>);

impl Event for Deposited {
    const TYPE: &'static str = "bank.v1.MoneyDeposited";

    fn encode(&self, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
        buffer.extend_from_slice(&self.0);
        Ok(())
    }

    fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self(payload.to_vec()))
    }
}

/// What a crash of the machine does to what was not synced.
pub fn cut_the_last_block(server: &NatsServer) {
    let mut folders = vec![server.store_dir()];
    let mut blocks = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => folders.push(path),
                false => blocks.extend(Some(path).filter(|path| path.extension().is_some_and(|it| it == "blk"))),
            }
        }
    }
    let number = |path: &PathBuf| path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
    let last = blocks.into_iter().max_by_key(number).expect("a stream has blocks");
    let file = File::options().write(true).open(last).unwrap();
    file.set_len(file.metadata().unwrap().len() - 300).unwrap();
}

/// Appends a commit of several events to one of a few streams.
pub async fn append(store: &SqliteStore, id: u64, events: usize) -> u64 {
    try_append(store, id, events).await.unwrap()
}

pub async fn try_append(store: &SqliteStore, id: u64, events: usize) -> Result<u64> {
    let tenant = id.is_multiple_of(3).then(|| Tenant::new("acme inc.".replace(' ', "-")).unwrap());
    let stream = StreamKey::new(tenant, "bank.v1.Account", AggregateId::new(format!("acc.{}>*", id % 7)).unwrap());
    let payload = |n: usize| vec![n as u8; (id as usize * 37 + n) % 700];
    let events = (0..events).map(|n| NewEvent::raw("bank.v1.MoneyDeposited", payload(n))).collect();
    let metadata = Metadata::default().principal("ada");
    Ok(store.append(Commit::append(stream, Expected::Any, events).metadata(metadata)).await?.position())
}

/// Appends until the store has so many events.
pub async fn fill(store: &SqliteStore, head: u64) {
    let mut at = store.head().await.unwrap();
    while at < head {
        let events = (head - at).min(1 + at % 90);
        at = append(store, at, events as usize).await;
    }
}

/// Waits for a state of the relay.
pub async fn reached(running: &Running, is_there: impl Fn(&Status) -> bool) -> Status {
    reached_as(running, NAME, is_there).await
}

async fn reached_as(running: &Running, name: &str, is_there: impl Fn(&Status) -> bool) -> Status {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = running.status(name).unwrap();
        if is_there(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "still {status:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the relay has stopped, and gives what it says.
pub async fn faulted(running: &Running) -> String {
    faulted_as(running, NAME).await
}

pub async fn faulted_as(running: &Running, name: &str) -> String {
    match reached_as(running, name, |status| matches!(status.state, State::Faulted(_))).await.state {
        State::Faulted(error) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// The whole log.
pub async fn log(store: &SqliteStore) -> Vec<RecordedEvent> {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        let page = store.read_all(after, 500, &Filter::all()).await.unwrap();
        events.extend(page.events);
        if page.scanned_to == after {
            return events;
        }
        after = page.scanned_to;
    }
}

/// Every message of a stream: sequence, subject, body.
pub async fn messages(stream: &stream::Stream) -> Vec<(u64, String, Bytes)> {
    let state = stream.get_info().await.unwrap().state;
    let consumer = stream.create_consumer(pull::OrderedConfig::default()).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let mut all = Vec::new();
    while (all.len() as u64) < state.messages {
        let message = tokio::time::timeout(PATIENCE, messages.next()).await.unwrap().unwrap().unwrap();
        let sequence = message.info().unwrap().stream_sequence;
        all.push((sequence, message.subject.to_string(), message.payload.clone()));
    }
    all
}

/// The stream has every event of the store, in order, byte for byte, and nothing else.
pub async fn assert_equal(stream: &stream::Stream, store: &SqliteStore) {
    let (log, messages) = (log(store).await, messages(stream).await);
    assert_eq!(messages.len(), log.len(), "the stream has as many messages as the store has events");
    for (event, (sequence, subject, body)) in log.into_iter().zip(messages) {
        assert_eq!(sequence, event.meta.position, "the sequence is the position");
        let envelope = Envelope::decode(&body).unwrap();
        assert_eq!(envelope.store, store.identity());
        assert_eq!(subject.split('.').count(), 6, "{subject}");
        assert!(subject.contains(".bank%2Ev1.Account.MoneyDeposited.acc%2E"), "{subject}");
        match envelope.content {
            Content::Whole(_) => assert_eq!(envelope.into_event(), Some(event)),
            Content::LeftOut { bytes, .. } => assert_eq!(bytes, event.payload.len() as u64),
        }
    }
}
