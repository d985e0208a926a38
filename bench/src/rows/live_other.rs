//! From another process's commit to a read model that shows it.

use std::{sync::Arc, time::Duration};

use es_core::Runner;
use es_sqlite::{SqliteProjection, SqliteStore};
use tokio::task::block_in_place;

use super::{Log, expect_stored};
use crate::{
    bench::v1::AccountHooks,
    by_hand::{connection, project},
    other_process::OtherProcess,
    rounds::{Lab, Result, Row, Sample, Target, drive, drive_here, remove},
};

/// How often a read model by hand asks whether the file has changed: as often as the store does.
const POLL: Duration = Duration::from_millis(5);
/// The longest that a read model may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One read model, and another process that commits. What is timed begins when the commit is acknowledged there.
///
/// Between two commits is a pause by lot, so that they fall anywhere between two looks at the file. By hand, a thread
/// looks as often, by the same `PRAGMA data_version`.
pub(crate) struct LiveOther;

impl Row for LiveOther {
    fn name(&self) -> String {
        "live-other".into()
    }

    fn target(&self) -> Target {
        Target::Within(Duration::from_millis(25))
    }

    fn unit(&self) -> &'static str {
        "commits"
    }

    fn ours(&mut self, lab: &Lab) -> Result<Sample> {
        let path = lab.fresh("live-other-ours")?;
        let (file, budget) = (path.clone(), lab.budget);
        let sample = lab.run(async move {
            let store = SqliteStore::builder(&file).busy_timeout(PATIENCE).open().await?;
            let add = project::add(0);
            let balances = SqliteProjection::builder("balances")
                .migration(project::table(0))
                .on_money_deposited(move |tx, event, _| tx.run(&add, (&event.account_id, event.cents)))
                .build(&store)?;
            let running = Arc::new(Runner::new(store.clone()).run(balances).start()?);
            let mut other = OtherProcess::start(&file, false)?;
            block_in_place(|| other.commit())?;
            running.wait_for_position("balances", 1, PATIENCE).await?;
            let mut others = Some(other);
            let sample = drive(1, budget, |_, mut turns| {
                let (running, other) = (Arc::clone(&running), others.take());
                async move {
                    let mut other = other.ok_or("there is one caller")?;
                    while let Some(call) = turns.next() {
                        tokio::time::sleep(pause()).await;
                        turns.time_from(block_in_place(|| other.commit())?);
                        running.wait_for_position("balances", call + 1, PATIENCE).await?;
                    }
                    block_in_place(|| other.end())?;
                    Ok(turns)
                }
            })
            .await?;
            Arc::into_inner(running).ok_or("still used")?.shutdown().await;
            store.shutdown().await?;
            Ok(sample)
        })?;
        expect_stored(&path, 1, &sample)?;
        remove(&path)?;
        Ok(sample)
    }

    fn by_hand(&mut self, lab: &Lab) -> Result<Sample> {
        let path = lab.fresh("live-other-by-hand")?;
        lab.runtime.block_on(connection::create(&path))?;
        let connection = connection::writer(&path)?;
        connection.busy_timeout(PATIENCE)?;
        project::create(&connection, 1)?;
        let mut other = OtherProcess::start(&path, true)?;
        other.commit()?;
        let log = Log::new(&connection)?;
        let mut at = project::advance(&log, &connection, &connection, 1, 0, 1)?;
        let version = || connection.prepare_cached("PRAGMA data_version")?.query_row((), |row| row.get::<_, i64>(0));
        let mut seen = version()?;
        let sample = drive_here(lab.budget, |turns| {
            while let Some(call) = turns.next() {
                std::thread::sleep(pause());
                turns.time_from(other.commit()?);
                // Where between two looks the commit was; this thread has only waited for it.
                std::thread::sleep(POLL.mul_f64(fastrand::f64()));
                while at < call + 1 {
                    let now = version()?;
                    if now == seen {
                        std::thread::sleep(POLL);
                        continue;
                    }
                    seen = now;
                    at = project::advance(&log, &connection, &connection, 1, at, 200)?;
                }
            }
            Ok(())
        })?;
        other.end()?;
        drop(log);
        connection::checkpoint(&connection)?;
        drop(connection);
        expect_stored(&path, 1, &sample)?;
        remove(&path)?;
        Ok(sample)
    }
}

/// Before the next commit.
fn pause() -> Duration {
    POLL.mul_f64(fastrand::f64())
}
