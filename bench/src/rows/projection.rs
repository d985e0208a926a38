//! Catching up: the whole log into one SQL table.

use std::path::PathBuf;

use es_core::Subscriber;
use es_sqlite::{SqliteProjection, SqliteStore};
use rusqlite::Connection;

use super::{
    Log, fill,
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

/// A projection, against the same SQL in batches of 1,000 events.
pub(crate) struct CatchUp {
    own_file: bool,
    /// The store's file, and the read model's own if it has one; ours, then by hand.
    ours: [PathBuf; 2],
    by_hand: [PathBuf; 2],
    projection: Option<(SqliteStore, SqliteProjection)>,
}

impl CatchUp {
    /// In the store's file.
    pub(crate) fn same_file() -> Self {
        Self { own_file: false, ours: Default::default(), by_hand: Default::default(), projection: None }
    }

    /// In a file of the read model's own.
    pub(crate) fn own_file() -> Self {
        Self { own_file: true, ..Self::same_file() }
    }
}

impl Row for CatchUp {
    fn name(&self) -> String {
        if self.own_file { "projection-own" } else { "projection-same" }.into()
    }

    fn target(&self) -> Target {
        Target::Share(0.70)
    }

    fn has_latency(&self) -> bool {
        false
    }

    fn prepare(&mut self, lab: &Lab) -> Result<()> {
        for (side, paths) in [("ours", &mut self.ours), ("by-hand", &mut self.by_hand)] {
            *paths = [lab.fresh(&format!("log-{side}"))?, lab.fresh(&format!("read-model-{side}"))?];
        }
        let streams = STREAMS.min(lab.events);
        fill(lab, &self.ours[0], (0..lab.events).map(|n| n % streams))?;
        std::fs::copy(&self.ours[0], &self.by_hand[0])?;
        let store = lab.runtime.block_on(SqliteStore::open(&self.ours[0]))?;
        let add = project::add(0);
        let builder = SqliteProjection::builder("balances")
            .migration(project::table(0))
            .on_money_deposited(move |tx, event, _| tx.run(&add, (&event.account_id, event.cents)));
        let projection =
            if self.own_file { builder.build_in(&self.ours[1], &store)? } else { builder.build(&store)? };
        self.projection = Some((store, projection));
        project::create(&self.read_model_by_hand()?, 1)
    }

    fn ours(&mut self, lab: &Lab) -> Result<Sample> {
        let Some((store, projection)) = self.projection.clone() else { return Err("not prepared".into()) };
        let (budget, events) = (lab.budget, lab.events);
        let (log, balances) = (store.clone(), projection.clone());
        let sample = lab.run(async move {
            drive(1, budget.pass(), |_, mut turns| {
                let (log, balances) = (log.clone(), balances.clone());
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
            .await
        })?;
        let total = "SELECT (SELECT position FROM es_checkpoints), sum(cents) FROM balance0";
        let (done, cents) = lab
            .runtime
            .block_on(projection.query(|tx| tx.query_row(total, (), |row| Ok((row.get(0)?, row.get(1)?)))))?;
        check(done, cents)?;
        if done == events {
            lab.runtime.block_on(projection.reset())?;
        }
        Ok(sample)
    }

    fn by_hand(&mut self, lab: &Lab) -> Result<Sample> {
        let reading = connection::reader(&self.by_hand[0])?;
        let writing = self.read_model_by_hand()?;
        // In one file the writing connection reads as well: its own transaction sees the log.
        let log = Log::new(if self.own_file { &reading } else { &writing })?;
        let sample = drive_here(lab.budget.pass(), |turns| {
            let mut at = progress(&writing)?;
            while at < lab.events && turns.next().is_some() {
                let source = if self.own_file { &reading } else { &writing };
                let reached = project::advance(&log, source, &writing, 1, at, PAGE)?;
                turns.handled(reached - at);
                at = reached;
            }
            Ok(())
        })?;
        let done = progress(&writing)?;
        check(done, writing.query_row("SELECT sum(cents) FROM balance0", (), |row| row.get(0))?)?;
        if done == lab.events {
            writing.execute_batch("DELETE FROM balance0; UPDATE progress SET position = 0")?;
        }
        connection::checkpoint(&writing)?;
        Ok(sample)
    }

    fn clean_up(&mut self, lab: &Lab) -> Result<()> {
        if let Some((store, projection)) = self.projection.take() {
            drop(projection);
            lab.runtime.block_on(store.shutdown())?;
        }
        self.ours.iter().chain(&self.by_hand).try_for_each(|path| remove(path))
    }
}

impl CatchUp {
    fn read_model_by_hand(&self) -> Result<Connection> {
        match self.own_file {
            true => connection::read_model(&self.by_hand[1]),
            false => connection::writer(&self.by_hand[0]),
        }
    }
}

/// Fails unless the table holds what the events up to a position come to.
pub(crate) fn check(done: u64, cents: i64) -> Result<()> {
    let expected: i64 = (1..=done).map(|n| crate::data::deposited("", n).cents).sum();
    if cents == expected { Ok(()) } else { Err(format!("{cents} cents after {done} events, not {expected}").into()) }
}
