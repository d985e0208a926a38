//! A store, a server and a relay between them.

use std::{
    fs::{self, File},
    path::PathBuf,
    time::{Duration, Instant},
};

use async_nats::jetstream::{self, stream};
use es_core::{
    EventLog, Runner,
    runner::{Running, State, Status},
};
use es_nats::{Nats, Relay};
use es_sqlite::SqliteStore;
use tempfile::TempDir;
use test_servers::NatsServer;

use super::{PATIENCE, assert_equal};

/// The relay's name, and its stream's.
pub const NAME: &str = "relay:bank";
pub const STREAM: &str = "bank";

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

    /// The store as it is now, restored from a backup: in another file, and in an epoch of its own.
    pub async fn restored(&self) -> SqliteStore {
        let (backup, file) = (self.path("backup.db"), self.path("restored.db"));
        self.store.backup(&backup).await.unwrap();
        SqliteStore::restore(backup, &file).await.unwrap();
        SqliteStore::open(file).await.unwrap()
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
