//! What ten times as many events cost: appends and loads all over a large file, and on a hot set in it.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use es_core::{AggregateId, At, Commit, EventLog, EventStore, Expected, Filter, NewEvent, StreamKey};
use es_sqlite::SqliteStore;
use prost::Message;
use rusqlite::Connection;

use super::fill;
use crate::{
    bench::v1::{Account, AccountRepository},
    by_hand::{connection, group_commit::GroupCommit, read::Reader, write::Append},
    data,
    rounds::{Budget, Lab, Result, Row, Sample, Target, drive, drive_here, remove},
};

/// Events of each stream when a file is new.
const STREAM_EVENTS: u64 = 10;
/// Streams of the hot set, and of the small file.
const HOT: u64 = 1_000;
const PRODUCERS: u64 = 64;
/// How many times the usual number of events the large file has.
const LARGER: u64 = 10;

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Append,
    Load,
}

/// The files, made when the first row needs them.
#[derive(Default)]
struct Files {
    grown: PathBuf,
    by_hand: PathBuf,
    small: PathBuf,
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in [&self.grown, &self.by_hand, &self.small] {
            // Whatever stays behind goes with the folder.
            let _ = remove(path);
        }
    }
}

/// Work on a large file.
struct Growth {
    work: Work,
    /// On a hot set, against ours on a small file.
    hot: bool,
    files: Rc<RefCell<Files>>,
    grown: Option<SqliteStore>,
    small: Option<SqliteStore>,
    reading: Option<Connection>,
}

pub(crate) fn rows() -> impl Iterator<Item = Box<dyn Row>> {
    let files = Rc::new(RefCell::new(Files::default()));
    [(Work::Append, false), (Work::Load, false), (Work::Append, true), (Work::Load, true)].into_iter().map(
        move |(work, hot)| {
            Box::new(Growth { work, hot, files: Rc::clone(&files), grown: None, small: None, reading: None })
                as Box<dyn Row>
        },
    )
}

impl Growth {
    fn streams(&self, lab: &Lab) -> u64 {
        if self.hot { HOT.min(streams(lab)) } else { streams(lab) }
    }

    fn run(&self, lab: &Lab, store: Option<&SqliteStore>, streams: u64) -> Result<Sample> {
        let Some(store) = store.cloned() else { return Err("not prepared".into()) };
        let (budget, work) = (lab.budget, self.work);
        let sample = lab.run(async move {
            let before = store.head().await?;
            let sample = match work {
                Work::Append => appends(&store, budget, streams).await?,
                Work::Load => loads(&store, budget, streams).await?,
            };
            let stored = store.head().await? - before;
            let expected = if work == Work::Append { sample.operations } else { 0 };
            if stored == expected { Ok(sample) } else { Err(format!("{stored} events, not {expected}").into()) }
        })?;
        self.settle(lab);
        Ok(sample)
    }

    /// The store copies its log when it has been quiet; not while the other side is measured.
    fn settle(&self, lab: &Lab) {
        if self.work == Work::Append && lab.budget.repeats() {
            std::thread::sleep(Duration::from_millis(400));
        }
    }
}

/// Streams of the large file.
fn streams(lab: &Lab) -> u64 {
    (lab.events * LARGER / STREAM_EVENTS).max(1)
}

impl Row for Growth {
    fn name(&self) -> String {
        let work = if self.work == Work::Append { "append" } else { "load" };
        format!("growth-{}{work}", if self.hot { "hot-" } else { "" })
    }

    fn target(&self) -> Target {
        Target::Cost(1.25)
    }

    fn unit(&self) -> &'static str {
        if self.work == Work::Append { "events" } else { "loads" }
    }

    fn baseline(&self) -> &'static str {
        if self.hot { "ours, 10 k events" } else { "by hand" }
    }

    fn prepare(&mut self, lab: &Lab) -> Result<()> {
        let mut files = self.files.borrow_mut();
        if files.grown.as_os_str().is_empty() {
            *files =
                Files { grown: lab.fresh("grown")?, by_hand: lab.fresh("grown-by-hand")?, small: lab.fresh("small")? };
            let all = streams(lab);
            fill(lab, &files.grown, (0..all * STREAM_EVENTS).map(|n| n % all))?;
            std::fs::copy(&files.grown, &files.by_hand)?;
            let few = HOT.min(all);
            fill(lab, &files.small, (0..few * STREAM_EVENTS).map(|n| n % few))?;
        }
        self.grown = Some(lab.runtime.block_on(SqliteStore::open(&files.grown))?);
        if self.hot {
            self.small = Some(lab.runtime.block_on(SqliteStore::open(&files.small))?);
        }
        self.reading = Some(connection::reader(&files.by_hand)?);
        Ok(())
    }

    fn ours(&mut self, lab: &Lab) -> Result<Sample> {
        self.run(lab, self.grown.as_ref(), self.streams(lab))
    }

    fn by_hand(&mut self, lab: &Lab) -> Result<Sample> {
        let streams = self.streams(lab);
        if self.hot {
            return self.run(lab, self.small.as_ref(), streams);
        }
        match (self.work, &self.reading) {
            (Work::Load, Some(connection)) => loads_by_hand(lab, connection, streams),
            _ => appends_by_hand(lab, &self.files.borrow().by_hand, streams),
        }
    }

    fn notes(&mut self, lab: &Lab) -> Result<Vec<String>> {
        if self.hot || self.work == Work::Append || !lab.budget.repeats() {
            return Ok(Vec::new());
        }
        let path = self.files.borrow().grown.clone();
        let bytes = std::fs::metadata(&path)?.len();
        let output = std::process::Command::new(std::env::current_exe()?)
            .arg("--memory-of")
            .arg(&path)
            .arg(streams(lab).to_string())
            .output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let memory = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(vec![format!("the file has {} MB; a process of its own on it: {memory}", bytes >> 20)])
    }

    fn clean_up(&mut self, lab: &Lab) -> Result<()> {
        for store in [self.grown.take(), self.small.take()].into_iter().flatten() {
            lab.runtime.block_on(store.shutdown())?;
        }
        self.reading = None;
        Ok(())
    }
}

async fn appends(store: &SqliteStore, budget: Budget, streams: u64) -> Result<Sample> {
    drive(PRODUCERS, budget, |caller, mut turns| {
        let store = store.clone();
        async move {
            while let Some(call) = turns.next() {
                let id = AggregateId::new(data::account_id(fastrand::u64(..streams)))?;
                let event = NewEvent::raw(data::EVENT_TYPE, data::deposited(id.as_str(), call).encode_to_vec());
                let stream = StreamKey::new(None, data::STREAM_TYPE, id);
                let commit = Commit::append(stream, Expected::Any, vec![event]);
                store.append(commit.metadata(data::metadata(caller, call))).await?;
            }
            Ok(turns)
        }
    })
    .await
}

fn appends_by_hand(lab: &Lab, path: &Path, streams: u64) -> Result<Sample> {
    let (writer, thread) = GroupCommit::start(path);
    let budget = lab.budget;
    let sample = lab.run(async move {
        drive(PRODUCERS, budget, |caller, mut turns| {
            let writer = writer.clone();
            async move {
                while let Some(call) = turns.next() {
                    let account_id: Arc<str> = data::account_id(fastrand::u64(..streams)).into();
                    let payload = data::deposited(&account_id, call).encode_to_vec();
                    let metadata = data::stored_metadata(caller, call, None);
                    writer.append(Append { account_id, expected: None, payload, metadata, command: None }).await?;
                }
                Ok(turns)
            }
        })
        .await
    })?;
    thread.join().map_err(|_| "the writing thread panicked")??;
    Ok(sample)
}

async fn loads(store: &SqliteStore, budget: Budget, streams: u64) -> Result<Sample> {
    let accounts = AccountRepository::new(store.clone());
    drive(1, budget, |_, mut turns| {
        let accounts = accounts.clone();
        async move {
            while turns.next().is_some() {
                let id = data::account_id(fastrand::u64(..streams));
                // The version, and not what was appended since: the same work however long the round before was.
                let account = accounts.load_at(&id, At::Version(STREAM_EVENTS)).await?;
                check(&account, account.version(), &id)?;
            }
            Ok(turns)
        }
    })
    .await
}

fn loads_by_hand(lab: &Lab, connection: &Connection, streams: u64) -> Result<Sample> {
    let mut reader = Reader::new(connection)?;
    drive_here(lab.budget, |turns| {
        while turns.next().is_some() {
            let id = data::account_id(fastrand::u64(..streams));
            let mut account = Account::default();
            let stream = reader.find(&id)?;
            let version = reader.replay_to(stream, STREAM_EVENTS.cast_signed(), &mut account)?;
            check(&account, version.cast_unsigned(), &id)?;
        }
        Ok(())
    })
}

fn check(account: &Account, version: u64, id: &str) -> Result<()> {
    if account.account_id == id && version == STREAM_EVENTS { Ok(()) } else { Err(format!("{id} at {version}").into()) }
}

/// What a process needs that does nothing but use the store: appends, loads, and pages of the log.
pub(crate) fn report_memory(path: &Path, streams: u64) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let path = path.to_owned();
    let work = async move {
        let store = SqliteStore::open(path).await?;
        let opened = resident()?;
        loads(&store, Budget::Calls(100_000), streams).await?;
        appends(&store, Budget::Calls(100_000), streams).await?;
        let mut after = 0;
        for _ in 0..300 {
            after = store.read_all(after, super::scan::PAGE, &Filter::all()).await?.scanned_to;
        }
        println!("{opened} when opened; after 100 k loads, 100 k appends, 300 pages of the log: {}", resident()?);
        store.shutdown().await?;
        Ok(())
    };
    runtime.block_on(async { tokio::spawn(work).await? })
}

/// What the kernel says of this process's memory.
fn resident() -> Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(format!("{name} {} MB", kib >> 10))
    };
    Ok([field("VmRSS"), field("VmHWM")].into_iter().flatten().collect::<Vec<_>>().join(", "))
}
