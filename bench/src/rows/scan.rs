//! Reading the whole log.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use es_core::{EventLog, Filter};
use es_sqlite::SqliteStore;
use rusqlite::Connection;

use super::fill;
use crate::{
    by_hand::{
        checksum::Checksum,
        connection,
        read::{self, EventRow, columns},
    },
    data,
    rounds::{Lab, Result, Row, Sample, Target, Turns, drive, drive_here, remove},
};

/// Events asked for at once.
pub(crate) const PAGE: usize = 1_000;
/// Streams the events are spread over, by turns.
pub(crate) const STREAMS: u64 = 10_000;

/// Pages of the log, against one cursor over the table.
pub(crate) struct Scan {
    handed_over: bool,
    path: PathBuf,
    store: Option<SqliteStore>,
    connection: Option<Connection>,
    /// Where either side goes on in the next round.
    ours: u64,
    by_hand: u64,
}

impl Scan {
    /// Against rows that are verified where they stand, and dropped.
    pub(crate) fn raw() -> Self {
        Self { handed_over: false, path: PathBuf::new(), store: None, connection: None, ours: 0, by_hand: 0 }
    }

    /// Against rows that are made into what a page of ours has: names, and bytes of one's own.
    pub(crate) fn handed_over() -> Self {
        Self { handed_over: true, ..Self::raw() }
    }
}

impl Row for Scan {
    fn name(&self) -> String {
        if self.handed_over { "scan-owned" } else { "scan" }.into()
    }

    fn target(&self) -> Target {
        if self.handed_over { Target::Told } else { Target::Share(0.80) }
    }

    fn has_latency(&self) -> bool {
        false
    }

    fn baseline(&self) -> &'static str {
        if self.handed_over { "by hand, owned events" } else { "by hand" }
    }

    fn prepare(&mut self, lab: &Lab) -> Result<()> {
        self.path = lab.fresh("scan")?;
        let streams = STREAMS.min(lab.events);
        fill(lab, &self.path, (0..lab.events).map(|n| n % streams))?;
        self.store = Some(lab.runtime.block_on(SqliteStore::open(&self.path))?);
        self.connection = Some(connection::reader(&self.path)?);
        Ok(())
    }

    fn ours(&mut self, lab: &Lab) -> Result<Sample> {
        let Some(store) = self.store.clone() else { return Err("not prepared".into()) };
        let (budget, from, events) = (lab.budget, self.ours, lab.events);
        let reached = Arc::new(std::sync::atomic::AtomicU64::new(from));
        let at = Arc::clone(&reached);
        let sample = lab.run(async move {
            drive(1, budget.pass(), |_, mut turns| {
                let (store, at) = (store.clone(), Arc::clone(&at));
                async move {
                    let mut after = from;
                    while turns.next().is_some() {
                        let page = store.read_all(after, PAGE, &Filter::all()).await?;
                        turns.handled(page.events.len() as u64);
                        after = page.scanned_to;
                        if after == events {
                            after = 0;
                            if !budget.repeats() {
                                break;
                            }
                        }
                    }
                    at.store(after, std::sync::atomic::Ordering::Relaxed);
                    Ok(turns)
                }
            })
            .await
        })?;
        self.ours = reached.load(std::sync::atomic::Ordering::Relaxed);
        Ok(sample)
    }

    fn by_hand(&mut self, lab: &Lab) -> Result<Sample> {
        let Some(connection) = &self.connection else { return Err("not prepared".into()) };
        let log = Log::new(connection)?;
        let mut after = self.by_hand;
        let sample = drive_here(lab.budget.pass(), |turns| {
            loop {
                let mut page = Vec::new();
                let whole = log.scan(&mut after, turns, |log, row| {
                    if self.handed_over {
                        page.push(log.own(row));
                        if page.len() == PAGE {
                            page = Vec::new();
                        }
                    }
                    Ok(())
                })?;
                if !whole {
                    return Ok(());
                }
                after = 0;
                if !lab.budget.repeats() {
                    return Ok(());
                }
            }
        })?;
        self.by_hand = after;
        Ok(sample)
    }

    fn clean_up(&mut self, lab: &Lab) -> Result<()> {
        if let Some(store) = self.store.take() {
            lab.runtime.block_on(store.shutdown())?;
        }
        self.connection = None;
        remove(&self.path)
    }
}

/// The log by hand: the names of all streams in memory.
pub(crate) struct Log<'c> {
    connection: &'c Connection,
    pub(crate) event_type: i64,
    pub(crate) streams: HashMap<i64, (Arc<str>, Checksum)>,
    type_name: Arc<str>,
}

/// An event with all that is known of it.
#[expect(dead_code, reason = "it is made in order to be handed over")]
struct Owned {
    account_id: Arc<str>,
    event_type: Arc<str>,
    position: i64,
    version: i64,
    recorded_at: i64,
    metadata: Vec<u8>,
    payload: Vec<u8>,
}

impl<'c> Log<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Result<Self> {
        let streams = connection
            .prepare("SELECT id, aggregate_id FROM es_streams")?
            .query_map((), |row| {
                let id: Arc<str> = row.get(1)?;
                let checksum = Checksum::stream(&id);
                Ok((row.get(0)?, (id, checksum)))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let event_type = read::event_type(connection)?;
        Ok(Self { connection, event_type, streams, type_name: data::EVENT_TYPE.into() })
    }

    /// Reads on from a position, a page's worth in each turn; returns whether the end was reached.
    fn scan(
        &self,
        after: &mut u64,
        turns: &mut Turns,
        mut each: impl FnMut(&Self, &EventRow<'_>) -> Result<()>,
    ) -> Result<bool> {
        let mut statement = self.connection.prepare_cached(concat!(
            "SELECT ",
            columns!(),
            " FROM es_events WHERE position > ?1 ORDER BY position"
        ))?;
        let mut rows = statement.query([*after])?;
        while turns.next().is_some() {
            let mut handled = 0;
            for _ in 0..PAGE {
                let Some(row) = rows.next()? else {
                    turns.handled(handled);
                    return Ok(true);
                };
                let row = EventRow::read(row)?;
                let (_, checksum) = self.streams.get(&row.stream).ok_or("a stream without a name")?;
                row.verify(*checksum, self.event_type)?;
                each(self, &row)?;
                *after = row.event.position.cast_unsigned();
                handled += 1;
            }
            turns.handled(handled);
        }
        Ok(false)
    }

    fn own(&self, row: &EventRow<'_>) -> Owned {
        Owned {
            account_id: Arc::clone(&self.streams[&row.stream].0),
            event_type: Arc::clone(&self.type_name),
            position: row.event.position,
            version: row.event.version,
            recorded_at: row.event.recorded_at,
            metadata: row.event.metadata.to_vec(),
            payload: row.event.payload.to_vec(),
        }
    }
}
