//! Read models: one pass over the log that writes all of them, and how far it is, in one transaction a page.

use prost::Message;
use rusqlite::Connection;

use super::read::{EventRow, columns};
use crate::{bench::v1::MoneyDeposited, rounds::Result, rows::Log};

const TABLE: &str = "CREATE TABLE balance (account_id TEXT PRIMARY KEY, cents INTEGER NOT NULL) STRICT";
const ADD: &str = "INSERT INTO balance (account_id, cents) VALUES (?1, ?2)
    ON CONFLICT (account_id) DO UPDATE SET cents = cents + excluded.cents";

/// The table of one read model of several.
pub(crate) fn table(model: usize) -> String {
    TABLE.replace("balance", &format!("balance{model}"))
}

/// What adds an event to it.
pub(crate) fn add(model: usize) -> String {
    ADD.replace("balance", &format!("balance{model}"))
}

/// Makes the tables of so many read models, and the row that says how far they are.
pub(crate) fn create(connection: &Connection, models: usize) -> Result<()> {
    for model in 0..models {
        connection.execute_batch(&table(model))?;
    }
    let progress = "CREATE TABLE progress (position INTEGER NOT NULL); INSERT INTO progress VALUES (0)";
    Ok(connection.execute_batch(progress)?)
}

/// How far they are.
pub(crate) fn progress(connection: &Connection) -> Result<u64> {
    Ok(connection.query_row("SELECT position FROM progress", (), |row| row.get(0))?)
}

/// Handles the next page, and says how far that went.
pub(crate) fn advance(
    log: &Log<'_>,
    reading: &Connection,
    writing: &Connection,
    models: usize,
    after: u64,
    page: usize,
) -> Result<u64> {
    let mut events = reading.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        " FROM es_events WHERE position > ?1 ORDER BY position LIMIT ?2"
    ))?;
    let mut adds = (0..models).map(|model| writing.prepare_cached(&add(model))).collect::<Result<Vec<_>, _>>()?;
    writing.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
    let mut reached = after;
    let mut rows = events.query((after, page))?;
    while let Some(row) = rows.next()? {
        let row = EventRow::read(row)?;
        let (_, checksum) = log.streams.get(&row.stream).ok_or("a stream without a name")?;
        row.verify(*checksum, log.event_type)?;
        let event = MoneyDeposited::decode(row.event.payload)?;
        for add in &mut adds {
            add.execute((&event.account_id, event.cents))?;
        }
        reached = row.event.position.cast_unsigned();
    }
    drop(rows);
    writing.prepare_cached("UPDATE progress SET position = ?1")?.execute([reached])?;
    writing.prepare_cached("COMMIT")?.execute(())?;
    Ok(reached)
}
