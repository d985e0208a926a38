//! Loading an account from its events alone.

use std::{path::PathBuf, sync::Arc};

use es_core::At;
use es_sqlite::SqliteStore;
use rusqlite::Connection;

use super::fill;
use crate::{
    bench::v1::{Account, AccountRepository},
    by_hand::{connection, read::Reader},
    data,
    rounds::{Lab, Result, Row, Sample, Target, drive, drive_here, remove},
};

/// Streams of one length that are loaded in turn; all of them fit into a reader's cache.
const KINDS: [(u64, u64); 3] = [(10, 1_000), (100, 100), (10_000, 2)];

/// Loads of streams of one length.
pub(crate) struct Loads {
    length: u64,
    streams: u64,
    path: PathBuf,
    store: Option<(SqliteStore, AccountRepository)>,
    by_hand: Option<Connection>,
}

pub(crate) fn rows() -> impl Iterator<Item = Box<dyn Row>> {
    KINDS.into_iter().map(|(length, streams)| {
        Box::new(Loads { length, streams, path: PathBuf::new(), store: None, by_hand: None }) as Box<dyn Row>
    })
}

impl Row for Loads {
    fn name(&self) -> String {
        format!("load-{}", self.length)
    }

    fn target(&self) -> Target {
        Target::Share(0.80)
    }

    fn unit(&self) -> &'static str {
        "loads"
    }

    /// The streams' events stand between each other's.
    fn prepare(&mut self, lab: &Lab) -> Result<()> {
        self.length = self.length.min(lab.long);
        self.path = lab.fresh("load")?;
        let (length, streams) = (self.length, self.streams);
        fill(lab, &self.path, (0..length * streams).map(|n| n % streams))?;
        let store = lab.runtime.block_on(SqliteStore::open(&self.path))?;
        self.store = Some((store.clone(), AccountRepository::new(store)));
        self.by_hand = Some(connection::reader(&self.path)?);
        Ok(())
    }

    fn ours(&mut self, lab: &Lab) -> Result<Sample> {
        let Some((_, accounts)) = self.store.clone() else { return Err("not prepared".into()) };
        let (length, budget) = (self.length, lab.budget);
        let ids: Arc<[String]> = (0..self.streams).map(data::account_id).collect();
        lab.run(async move {
            drive(1, budget, |_, mut turns| {
                let (accounts, ids) = (accounts.clone(), Arc::clone(&ids));
                async move {
                    while let Some(call) = turns.next() {
                        // By version, so that neither a snapshot nor a cache answers.
                        let id = &ids[usize::try_from(call)? % ids.len()];
                        let account = accounts.load_at(id, At::Version(u64::MAX)).await?;
                        check(&account, account.version(), id, length)?;
                    }
                    Ok(turns)
                }
            })
            .await
        })
    }

    fn by_hand(&mut self, lab: &Lab) -> Result<Sample> {
        let Some(connection) = &self.by_hand else { return Err("not prepared".into()) };
        let mut reader = Reader::new(connection)?;
        let ids: Vec<_> = (0..self.streams).map(data::account_id).collect();
        let mut streams = std::collections::HashMap::new();
        for id in &ids {
            streams.insert(id.clone(), reader.find(id)?);
        }
        drive_here(lab.budget, |turns| {
            while let Some(call) = turns.next() {
                let id = &ids[usize::try_from(call)? % ids.len()];
                let mut account = Account::default();
                let version = reader.replay(streams[id], 0, &mut account)?;
                check(&account, version.cast_unsigned(), id, self.length)?;
            }
            Ok(())
        })
    }

    fn clean_up(&mut self, lab: &Lab) -> Result<()> {
        if let Some((store, _)) = self.store.take() {
            lab.runtime.block_on(store.shutdown())?;
        }
        self.by_hand = None;
        remove(&self.path)
    }
}

fn check(account: &Account, version: u64, id: &str, length: u64) -> Result<()> {
    if account.account_id == id && version == length && account.balance_cents > 0 {
        return Ok(());
    }
    Err(format!("{id} at version {version} instead of {length}").into())
}
