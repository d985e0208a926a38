//! Loading an account from its snapshot and a tail of fifty events.

use std::path::PathBuf;

use es_core::{AppError, Root};
use es_sqlite::SqliteStore;
use rusqlite::Connection;

use crate::{
    bench::v1::{Account, AccountRepository},
    by_hand::{connection, read::Reader},
    data,
    rounds::{Lab, Result, Row, Sample, Target, drive, drive_here, remove},
};

/// Events after the snapshot.
const TAIL: u64 = 50;
/// Events before the snapshot of the stream that is short; the default policy makes one there.
const SHORT: u64 = 100;

/// Loads of a stream with a long past.
pub(crate) struct Snapshots {
    against_by_hand: bool,
    long: u64,
    path: PathBuf,
    accounts: Option<(SqliteStore, AccountRepository)>,
    by_hand: Option<Connection>,
}

impl Snapshots {
    /// Against the snapshot's row and the tail, read by hand.
    pub(crate) fn against_by_hand() -> Self {
        Self { against_by_hand: true, long: 0, path: PathBuf::new(), accounts: None, by_hand: None }
    }

    /// Against our own load of a stream that has nothing but its first snapshot and the tail.
    pub(crate) fn against_a_short_stream() -> Self {
        Self { against_by_hand: false, ..Self::against_by_hand() }
    }

    fn load(&self, lab: &Lab, account: u64, length: u64) -> Result<Sample> {
        let Some((_, accounts)) = self.accounts.clone() else { return Err("not prepared".into()) };
        let budget = lab.budget;
        lab.run(async move {
            drive(1, budget, |_, mut turns| {
                let accounts = accounts.clone();
                async move {
                    let id = data::account_id(account);
                    while turns.next().is_some() {
                        let account = accounts.load(&id).await?;
                        if account.version() != length + TAIL {
                            return Err(format!("version {} after a snapshot", account.version()).into());
                        }
                    }
                    Ok(turns)
                }
            })
            .await
        })
    }
}

impl Row for Snapshots {
    fn name(&self) -> String {
        if self.against_by_hand { "snapshot" } else { "snapshot-long" }.into()
    }

    fn target(&self) -> Target {
        Target::Cost(if self.against_by_hand { 1.3 } else { 1.1 })
    }

    fn unit(&self) -> &'static str {
        "loads"
    }

    fn baseline(&self) -> &'static str {
        if self.against_by_hand { "by hand" } else { "ours, a short stream" }
    }

    fn prepare(&mut self, lab: &Lab) -> Result<()> {
        self.long = lab.long;
        self.path = lab.fresh("snapshot")?;
        let (path, lengths) = (self.path.clone(), [(0, self.long), (1, SHORT)]);
        let written = path.clone();
        lab.run(async move {
            let store = SqliteStore::open(written).await?;
            let accounts = AccountRepository::new(store.clone());
            for (account, length) in lengths {
                let id = data::account_id(account);
                for events in (0..length / 100).map(|_| 100).chain([TAIL]) {
                    accounts.execute(&id, |account| emit(account, &id, events)).await?;
                }
            }
            Ok(store.shutdown().await?)
        })?;
        let store = lab.runtime.block_on(SqliteStore::open(&path))?;
        self.accounts = Some((store.clone(), AccountRepository::new(store)));
        self.by_hand = Some(connection::reader(&self.path)?);
        Ok(())
    }

    fn ours(&mut self, lab: &Lab) -> Result<Sample> {
        self.load(lab, 0, self.long)
    }

    fn by_hand(&mut self, lab: &Lab) -> Result<Sample> {
        if !self.against_by_hand {
            return self.load(lab, 1, SHORT);
        }
        let Some(connection) = &self.by_hand else { return Err("not prepared".into()) };
        let mut reader = Reader::new(connection)?;
        let stream = reader.find(&data::account_id(0))?;
        drive_here(lab.budget, |turns| {
            while turns.next().is_some() {
                let (_, version) = reader.load(stream)?;
                if version.cast_unsigned() != self.long + TAIL {
                    return Err(format!("version {version} after a snapshot").into());
                }
            }
            Ok(())
        })
    }

    fn clean_up(&mut self, lab: &Lab) -> Result<()> {
        if let Some((store, _)) = self.accounts.take() {
            lab.runtime.block_on(store.shutdown())?;
        }
        self.by_hand = None;
        remove(&self.path)
    }
}

fn emit(account: &mut Root<Account>, id: &str, events: u64) -> Result<(), AppError> {
    for _ in 0..events {
        account.emit(data::deposited(id, account.version()));
    }
    Ok(())
}
