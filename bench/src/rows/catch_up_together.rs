//! Several read models catching up on one log at the same time.

use std::path::PathBuf;

use es_core::Subscriber;
use es_sqlite::{SqliteProjection, SqliteStore};

use super::{
    Log, fill,
    projection::check,
    scan::{PAGE, STREAMS},
};
use crate::{
    bench::v1::AccountHooks,
    by_hand::{
        connection,
        project::{self, progress},
    },
    rounds::{Lab, Result, Row, Sample, Target, drive, drive_here, remove},
};

/// Read models in the store's file, each with a page, a checkpoint and a transaction of its own. By hand, one pass over
/// the log writes all of them, which is the fastest there is: each event is read, verified and decoded once, and a file
/// has one writer at a time anyway. What is counted are events, once for each read model.
pub(crate) struct Together {
    projections: usize,
    ours: PathBuf,
    by_hand: PathBuf,
    prepared: Option<(SqliteStore, Vec<SqliteProjection>)>,
}

impl Together {
    pub(crate) fn new(projections: usize) -> Self {
        Self { projections, ours: PathBuf::new(), by_hand: PathBuf::new(), prepared: None }
    }
}

impl Row for Together {
    fn name(&self) -> String {
        format!("catchup-{}", self.projections)
    }

    fn target(&self) -> Target {
        Target::Told
    }

    fn has_latency(&self) -> bool {
        false
    }

    fn prepare(&mut self, lab: &Lab) -> Result<()> {
        (self.ours, self.by_hand) = (lab.fresh("together-ours")?, lab.fresh("together-by-hand")?);
        let streams = STREAMS.min(lab.events);
        fill(lab, &self.ours, (0..lab.events).map(|n| n % streams))?;
        std::fs::copy(&self.ours, &self.by_hand)?;
        let store = lab.runtime.block_on(SqliteStore::open(&self.ours))?;
        let build = |n| {
            let add = project::add(n);
            SqliteProjection::builder(format!("balances{n}"))
                .migration(project::table(n))
                .on_money_deposited(move |tx, event, _| tx.run(&add, (&event.account_id, event.cents)))
                .build(&store)
        };
        let projections = (0..self.projections).map(build).collect::<es_core::Result<_>>()?;
        self.prepared = Some((store, projections));
        project::create(&connection::writer(&self.by_hand)?, self.projections)
    }

    fn ours(&mut self, lab: &Lab) -> Result<Sample> {
        let Some((store, projections)) = self.prepared.clone() else { return Err("not prepared".into()) };
        let (budget, events, count) = (lab.budget, lab.events, self.projections);
        lab.run(async move {
            let sample = drive(count as u64, budget.pass(), |caller, mut turns| {
                let (log, balances) = (store.clone(), projections[caller as usize].clone());
                async move {
                    let mut at = balances.checkpoint(0).await?;
                    while at < events && turns.next().is_some() {
                        let progress = balances.advance(&log, 0).await?;
                        turns.handled(progress.checkpoint - at);
                        at = progress.checkpoint;
                    }
                    Ok(turns)
                }
            })
            .await?;
            let mut whole = 0;
            for (n, balances) in projections.iter().enumerate() {
                let done = balances.checkpoint(0).await?;
                let total = format!("SELECT sum(cents) FROM balance{n}");
                check(done, balances.query(move |tx| tx.query_row(&total, (), |row| row.get(0))).await?)?;
                whole += usize::from(done == events);
            }
            if whole == count {
                for balances in &projections {
                    balances.reset().await?;
                }
            }
            Ok(sample)
        })
    }

    fn by_hand(&mut self, lab: &Lab) -> Result<Sample> {
        let connection = connection::writer(&self.by_hand)?;
        let log = Log::new(&connection)?;
        let sample = drive_here(lab.budget.pass(), |turns| {
            let mut at = progress(&connection)?;
            while at < lab.events && turns.next().is_some() {
                let reached = project::advance(&log, &connection, &connection, self.projections, at, PAGE)?;
                turns.handled((reached - at) * self.projections as u64);
                at = reached;
            }
            Ok(())
        })?;
        let done = progress(&connection)?;
        for n in 0..self.projections {
            let total = format!("SELECT sum(cents) FROM balance{n}");
            check(done, connection.query_row(&total, (), |row| row.get(0))?)?;
            if done == lab.events {
                connection.execute_batch(&format!("DELETE FROM balance{n}"))?;
            }
        }
        if done == lab.events {
            connection.execute_batch("UPDATE progress SET position = 0")?;
        }
        connection::checkpoint(&connection)?;
        Ok(sample)
    }

    fn clean_up(&mut self, lab: &Lab) -> Result<()> {
        if let Some((store, projections)) = self.prepared.take() {
            drop(projections);
            lab.runtime.block_on(store.shutdown())?;
        }
        [&self.ours, &self.by_hand].into_iter().try_for_each(|path| remove(path))
    }
}
