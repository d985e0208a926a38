//! From a commit to the read models that show it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
};

use es_core::{AggregateId, Commit, EventStore, Expected, NewEvent, Runner, StreamKey};
use es_sqlite::{SqliteProjection, SqliteStore};
use prost::Message;

use super::{Log, expect_stored};
use crate::{
    bench::v1::AccountHooks,
    by_hand::{
        connection, project,
        write::{Append, Writer},
    },
    data,
    rounds::{Lab, Result, Row, Sample, Target, drive, drive_here, remove},
};

/// Events that are looked for at once.
const PAGE: usize = 200;
/// The longest that a read model may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Read models in the store's file, each told of every commit. What is timed begins when a commit is acknowledged and
/// ends when all of them show it.
pub(crate) struct Live {
    pub(crate) projections: usize,
}

impl Row for Live {
    fn name(&self) -> String {
        format!("live-{}", self.projections)
    }

    fn target(&self) -> Target {
        Target::Told
    }

    fn unit(&self) -> &'static str {
        "commits"
    }

    fn ours(&mut self, lab: &Lab) -> Result<Sample> {
        let path = lab.fresh("live-ours")?;
        let (file, budget, projections) = (path.clone(), lab.budget, self.projections);
        let sample = lab.run(async move {
            let store = SqliteStore::open(file).await?;
            let names: Vec<_> = (0..projections).map(|n| format!("balances{n}")).collect();
            let mut runner = Runner::new(store.clone());
            for (n, name) in names.iter().enumerate() {
                let add = project::add(n);
                let projection = SqliteProjection::builder(name)
                    .migration(project::table(n))
                    .on_money_deposited(move |tx, event, _| tx.run(&add, (&event.account_id, event.cents)))
                    .build(&store)?;
                runner = runner.run(projection);
            }
            let running = Arc::new(runner.start()?);
            let sample = drive(1, budget, |caller, mut turns| {
                let (store, running, names) = (store.clone(), Arc::clone(&running), names.clone());
                async move {
                    let id = AggregateId::new(data::account_id(caller))?;
                    let stream = StreamKey::new(None, data::STREAM_TYPE, id);
                    while let Some(call) = turns.next() {
                        let payload = data::deposited(stream.id.as_str(), call).encode_to_vec();
                        let event = NewEvent::raw(data::EVENT_TYPE, payload);
                        let commit = Commit::append(stream.clone(), Expected::Exact(call - 1), vec![event]);
                        let appended = store.append(commit.metadata(data::metadata(caller, call))).await?;
                        turns.time_from_here();
                        for name in &names {
                            running.wait_for_position(name, appended.position(), PATIENCE).await?;
                        }
                    }
                    Ok(turns)
                }
            })
            .await?;
            Arc::into_inner(running).ok_or("still used")?.shutdown().await;
            store.shutdown().await?;
            Ok(sample)
        })?;
        expect_stored(&path, 0, &sample)?;
        remove(&path)?;
        Ok(sample)
    }

    fn by_hand(&mut self, lab: &Lab) -> Result<Sample> {
        let path = lab.fresh("live-by-hand")?;
        lab.runtime.block_on(connection::create(&path))?;
        let connection = connection::writer(&path)?;
        project::create(&connection, self.projections)?;
        let sample = {
            let mut writer = Writer::new(&connection)?;
            let account_id: Arc<str> = data::account_id(0).into();
            append(&mut writer, &account_id, 0)?;
            let (projector, thread) = Projector::start(path.clone(), self.projections);
            projector.wait_for(1)?;
            let sample = drive_here(lab.budget, |turns| {
                while let Some(call) = turns.next() {
                    append(&mut writer, &account_id, call)?;
                    turns.time_from_here();
                    projector.wait_for(call + 1)?;
                }
                Ok(())
            })?;
            drop(projector);
            thread.join().map_err(|_| "the projecting thread panicked")??;
            sample
        };
        connection::checkpoint(&connection)?;
        drop(connection);
        expect_stored(&path, 1, &sample)?;
        remove(&path)?;
        Ok(sample)
    }
}

fn append(writer: &mut Writer<'_>, account_id: &Arc<str>, call: u64) -> Result<()> {
    writer.begin()?;
    let append = Append {
        account_id: Arc::clone(account_id),
        expected: Some(call.cast_signed()),
        payload: data::deposited(account_id, call).encode_to_vec(),
        metadata: data::stored_metadata(0, call, None),
        command: None,
    };
    writer.append(&append)?.map_err(|_| "someone else wrote")?;
    writer.commit()
}

/// A thread with a connection of its own that writes all read models in one transaction, whenever it is told.
struct Projector {
    tell: mpsc::Sender<u64>,
    reached: Arc<Reached>,
}

/// How far the thread has come.
#[derive(Default)]
struct Reached {
    position: Mutex<u64>,
    moved: Condvar,
}

impl Projector {
    fn start(path: PathBuf, projections: usize) -> (Self, JoinHandle<Result<()>>) {
        let (tell, told) = mpsc::channel();
        let reached = Arc::<Reached>::default();
        let reach = Arc::clone(&reached);
        (Self { tell, reached }, std::thread::spawn(move || project(&path, projections, &told, &reach)))
    }

    fn wait_for(&self, position: u64) -> Result<()> {
        self.tell.send(position)?;
        let mut at = self.reached.position.lock().unwrap_or_else(PoisonError::into_inner);
        while *at < position {
            at = self.reached.moved.wait(at).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }
}

fn project(path: &Path, projections: usize, told: &mpsc::Receiver<u64>, reach: &Reached) -> Result<()> {
    let connection = connection::writer(path)?;
    connection.busy_timeout(PATIENCE)?;
    let mut after = 0;
    let Ok(mut head) = told.recv() else { return Ok(()) };
    let log = Log::new(&connection)?;
    loop {
        while let Ok(newer) = told.try_recv() {
            head = newer;
        }
        after = project::advance(&log, &connection, &connection, projections, after, PAGE)?;
        *reach.position.lock().unwrap_or_else(PoisonError::into_inner) = after;
        reach.moved.notify_all();
        if after >= head {
            let Ok(newer) = told.recv() else { return Ok(()) };
            head = newer;
        }
    }
}
