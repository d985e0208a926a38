//! Commands to be sent later: changed in the append's own transaction, verified when they are read.

use es_core::{Commit, Error, Result, ScheduleChange, ScheduleKey, ScheduledCommand, Tenant, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::{checksum::Checksum, errors::Place, schema};

/// A change as the writer makes it. Encoded by the caller: the writer's time is everybody's.
#[derive(Debug)]
pub(crate) struct Change {
    key: ScheduleKey,
    /// None: cancelled.
    command: Option<Stored>,
}

#[derive(Debug)]
struct Stored {
    due: i64,
    command_id: String,
    checksum: i64,
    request: Vec<u8>,
}

/// The changes of a commit.
pub(crate) fn changes(commit: &Commit) -> Vec<Change> {
    let tenant = schema::tenant(commit.tenant.as_ref());
    let change = |change: &ScheduleChange| {
        let key = change.key().clone();
        let command = match change {
            ScheduleChange::Send(command) => {
                let (due, command_id) = (command.due().as_micros(), command.command_id().to_string());
                let request = command.to_stored();
                let checksum = sum(tenant, key.as_str(), due, &command_id, &request);
                Some(Stored { due, command_id, checksum, request })
            }
            ScheduleChange::Cancel(_) => None,
        };
        Change { key, command }
    };
    commit.schedule.iter().map(change).collect()
}

/// Makes the changes of a commit, in order.
pub(crate) fn apply(connection: &Connection, tenant: Option<&Tenant>, changes: &[Change]) -> rusqlite::Result<()> {
    let tenant = schema::tenant(tenant);
    for Change { key, command } in changes {
        match command {
            Some(Stored { due, command_id, checksum, request }) => connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO es_scheduled (tenant, key, due_at, command_id, checksum, request)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute((tenant, key.as_str(), due, command_id, checksum, request))?,
            None => connection
                .prepare_cached("DELETE FROM es_scheduled WHERE tenant = ?1 AND key = ?2")?
                .execute((tenant, key.as_str()))?,
        };
    }
    Ok(())
}

/// The command scheduled under a key.
pub(crate) fn get(
    connection: &Connection,
    place: &Place,
    tenant: Option<&Tenant>,
    key: &str,
) -> Result<Option<ScheduledCommand>> {
    let at = |error| place.error("looking up a scheduled command", error);
    let mut statement = connection
        .prepare_cached(
            "SELECT tenant, key, due_at, command_id, checksum, request FROM es_scheduled WHERE tenant = ?1 AND key = ?2",
        )
        .map_err(at)?;
    let mut rows = statement.query((schema::tenant(tenant), key)).map_err(at)?;
    rows.next().map_err(at)?.map(read).transpose()
}

/// The columns of a command, as [`read`] wants them, of those that are due.
macro_rules! due {
    ($which:literal) => {
        concat!(
            "SELECT tenant, key, due_at, command_id, checksum, request FROM es_scheduled WHERE due_at <= ?1 AND ",
            $which
        )
    };
}

const FIRST: &str = due!("leased_until IS NULL ORDER BY due_at, tenant, key");
const AGAIN: &str = due!("(leased_until <= ?1 OR leased_until > ?2) ORDER BY leased_until, due_at, tenant, key");

/// Commands that are due and not leased: those that never were come first. Those that can't be read are given as their
/// errors, and don't count.
pub(crate) fn due(
    connection: &Connection,
    place: &Place,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Result<ScheduledCommand>>> {
    let at = |error| place.error("looking for commands that are due", error);
    let (mut due, mut readable) = (Vec::new(), 0);
    // The first are read from the index, in its order, however many are due; the second need to be sorted.
    for (sql, bound) in [(FIRST, &[now.as_micros()][..]), (AGAIN, &[now.as_micros(), longest(now)])] {
        let mut statement = connection.prepare_cached(sql).map_err(at)?;
        let mut rows = statement.query(rusqlite::params_from_iter(bound)).map_err(at)?;
        while readable < limit
            && let Some(row) = rows.next().map_err(at)?
        {
            let command = read(row);
            readable += usize::from(command.is_ok());
            due.push(command);
        }
    }
    Ok(due)
}

/// The earliest time after this one at which a command is due.
pub(crate) fn next_due(connection: &Connection, after: Timestamp) -> rusqlite::Result<Option<Timestamp>> {
    let next = connection
        .prepare_cached("SELECT due_at FROM es_scheduled WHERE due_at > ?1 ORDER BY due_at LIMIT 1")?
        .query_row([after.as_micros()], |row| row.get(0))
        .optional()?;
    Ok(next.map(Timestamp::from_micros))
}

/// Leases a command until then, if its present lease ends by `ended`. Says whether that came about.
pub(crate) fn lease(
    connection: &Connection,
    command: &ScheduledCommand,
    ended: Timestamp,
    until: Timestamp,
) -> rusqlite::Result<bool> {
    let (tenant, key, id) = (schema::tenant(command.tenant()), command.key().as_str(), command.command_id().as_str());
    let leased = connection
        .prepare_cached(
            "UPDATE es_scheduled SET leased_until = ?6 WHERE tenant = ?1 AND key = ?2 AND command_id = ?3
             AND (leased_until IS NULL OR leased_until <= ?4 OR leased_until > ?5)",
        )?
        .execute((tenant, key, id, ended.as_micros(), longest(ended), until.as_micros()))?;
    Ok(leased > 0)
}

/// Deletes a command, unless another one has taken its key. Says whether it was there.
pub(crate) fn settle(connection: &Connection, command: &ScheduledCommand) -> rusqlite::Result<bool> {
    let (tenant, key, id) = (schema::tenant(command.tenant()), command.key().as_str(), command.command_id().as_str());
    let settled = connection
        .prepare_cached("DELETE FROM es_scheduled WHERE tenant = ?1 AND key = ?2 AND command_id = ?3")?
        .execute((tenant, key, id))?;
    Ok(settled > 0)
}

/// A lease that ends later than this is none.
fn longest(now: Timestamp) -> i64 {
    now.saturating_add(ScheduledCommand::LONGEST_LEASE).as_micros()
}

/// The command in a row: tenant, key, due time, id, checksum, request.
fn read(row: &Row<'_>) -> Result<ScheduledCommand> {
    let name = |column| row.get_ref(column).ok().and_then(|value| value.as_str().ok()).unwrap_or("?");
    let (tenant, key) = (name(0), name(1));
    verified(row, tenant, key).map_err(|why| {
        let of = if tenant.is_empty() { String::new() } else { format!(" of tenant {tenant}") };
        Error::Corrupt { what: format!("the command scheduled under `{key}`{of}"), why }
    })
}

fn verified(row: &Row<'_>, tenant: &str, key: &str) -> Result<ScheduledCommand, String> {
    let columns = || -> rusqlite::Result<(i64, &str, i64, &[u8])> {
        Ok((row.get(2)?, row.get_ref(3)?.as_str()?, row.get(4)?, row.get_ref(5)?.as_blob()?))
    };
    let (due, command_id, checksum, request) = columns().map_err(|error| error.to_string())?;
    if sum(tenant, key, due, command_id, request) != checksum {
        return Err("its checksum is wrong".into());
    }
    let command = || {
        let tenant = if tenant.is_empty() { None } else { Some(Tenant::new(tenant)?) };
        ScheduledCommand::from_stored(tenant, ScheduleKey::new(key)?, Timestamp::from_micros(due), request)
    };
    command().map_err(|error: Error| format!("{error:?}"))
}

/// The checksum of a row. The lease is no part of it: it changes, and a wrong one costs time only.
fn sum(tenant: &str, key: &str, due: i64, command_id: &str, request: &[u8]) -> i64 {
    Checksum::start(5).text(tenant).text(key).numbers([due]).text(command_id).bytes(request).column()
}
