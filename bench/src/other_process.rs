//! Another process that commits when it is told to: this binary, started once more.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use es_core::{AggregateId, Commit, EventStore, Expected, NewEvent, StreamKey};
use es_sqlite::SqliteStore;
use prost::Message;

use crate::{
    by_hand::{
        connection,
        write::{Append, Writer},
    },
    data,
    rounds::Result,
};

const FILE: &str = "BENCH_COMMITS_TO";
const BY_HAND: &str = "BENCH_COMMITS_BY_HAND";
/// Stands before what the child says; a test harness says other things as well.
const SAYS: char = '@';
/// How long one process waits for the other's transaction.
const PATIENCE: Duration = Duration::from_secs(10);

/// The process, seen by its parent.
pub(crate) struct OtherProcess {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl OtherProcess {
    /// Starts it on a file that exists. It commits with a store, or by hand.
    pub(crate) fn start(path: &Path, by_hand: bool) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(FILE, path).stdin(Stdio::piped()).stdout(Stdio::piped());
        if by_hand {
            command.env(BY_HAND, "1");
        }
        if cfg!(test) {
            command.args(["smoke::the_other_process", "--exact", "--nocapture", "--test-threads=1"]);
        }
        let mut child = command.spawn()?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take().ok_or("its output is piped")?);
        Ok(Self { child, orders, answers: BufReader::new(answers) })
    }

    /// Has it commit one event, and says when that was acknowledged there.
    pub(crate) fn commit(&mut self) -> Result<Instant> {
        self.orders.as_mut().ok_or("its input is piped")?.write_all(b"commit\n")?;
        let mut line = String::new();
        while self.answers.read_line(&mut line)? > 0 {
            if let Some((_, micros)) = line.split_once(SAYS) {
                let at = SystemTime::UNIX_EPOCH + Duration::from_micros(micros.trim().parse()?);
                return Ok(Instant::now() - at.elapsed().unwrap_or_default());
            }
            line.clear();
        }
        Err("the other process has ended".into())
    }

    /// Has it close the file, and waits for its end.
    pub(crate) fn end(mut self) -> Result<()> {
        drop(self.orders.take());
        // What it still has to say must not keep it.
        std::io::copy(&mut self.answers, &mut std::io::sink())?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the other process ended with {status}").into()) }
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does what the parent says until that is silent; returns whether this is the other process.
pub(crate) fn serve() -> Result<bool> {
    let Some(path) = std::env::var_os(FILE) else { return Ok(false) };
    match std::env::var_os(BY_HAND) {
        Some(_) => by_hand(Path::new(&path))?,
        None => tokio::runtime::Runtime::new()?.block_on(ours(Path::new(&path)))?,
    }
    Ok(true)
}

async fn ours(path: &Path) -> Result<()> {
    let store = SqliteStore::builder(path).busy_timeout(PATIENCE).open().await?;
    let stream = StreamKey::new(None, data::STREAM_TYPE, AggregateId::new(data::account_id(0))?);
    for (number, order) in (0..).zip(std::io::stdin().lines()) {
        order?;
        let event = NewEvent::raw(data::EVENT_TYPE, data::deposited(stream.id.as_str(), number).encode_to_vec());
        let commit = Commit::append(stream.clone(), Expected::Exact(number), vec![event]);
        store.append(commit.metadata(data::metadata(0, number))).await?;
        acknowledge()?;
    }
    Ok(store.shutdown().await?)
}

fn by_hand(path: &Path) -> Result<()> {
    let connection = connection::writer(path)?;
    connection.busy_timeout(PATIENCE)?;
    let account_id: Arc<str> = data::account_id(0).into();
    let mut writer = Writer::new(&connection)?;
    for (number, order) in (0..).zip(std::io::stdin().lines()) {
        order?;
        writer.begin()?;
        let append = Append {
            account_id: Arc::clone(&account_id),
            expected: Some(i64::try_from(number)?),
            payload: data::deposited(&account_id, number).encode_to_vec(),
            metadata: data::stored_metadata(0, number, None),
            command: None,
        };
        writer.append(&append)?.map_err(|_| "someone else wrote")?;
        writer.commit()?;
        acknowledge()?;
    }
    Ok(())
}

fn acknowledge() -> Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{SAYS}{}", now.as_micros())?;
    Ok(out.flush()?)
}
