//! Opening a file: is it ours, do we know its schema, is it new?

use std::{
    io::ErrorKind,
    sync::{Mutex, PoisonError},
};

use es_core::Error;
use rusqlite::{Connection, ErrorCode};

use crate::{
    builder::Durability,
    connection::{self, Role},
    engine,
    errors::Place,
    file::{self, Found},
    schema::{self, Schema},
};

/// One file is opened at a time: what makes a new file must not be disturbed by another thread that finds it.
static OPENING: Mutex<()> = Mutex::new(());

/// How often a file that is not as it should be is looked at before it is refused.
const LOOKS: u32 = 4;

/// Opens the writing connection of a file and makes sure of its tables. A file that is not ours, or newer than this
/// program, is left as it is, and so is the folder around it.
pub(crate) fn open(place: &Place, schema: &Schema, role: Role, create: bool) -> Result<Connection, Error> {
    engine::check()?;
    let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    let state = match file::find_or_create(&place.path, create)? {
        Found::Empty => State::New,
        Found::Something => look(place, schema)?,
    };
    match state {
        State::New | State::Older(_) => {
            make_tables(place, schema, role).map_err(|error| explain_read_only(place, error))?;
        }
        State::Ours => {}
    }
    let connection = connection::open(place, role).map_err(|error| explain_read_only(place, error))?;
    match inspect(&connection, place, schema)? {
        State::Ours => Ok(connection),
        State::New | State::Older(_) => Err(not_ours(place, "its tables are missing".into())),
    }
}

/// Opens a file of ours for reading only. It is left as it is, whatever it holds, and may have an older schema.
pub(crate) fn open_to_read(place: &Place, schema: &Schema) -> Result<Connection, Error> {
    engine::check()?;
    let missing = || Error::Io { what: format!("opening {}", place.path.display()), source: "there is no file".into() };
    if place.path.metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Err(missing());
    }
    let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    let state = match file::find_or_create(&place.path, false)? {
        Found::Empty => State::New,
        Found::Something => again_if_disturbed(|| match file::may_be_outdated(&place.path) {
            true => judge(&connection::open_bare(place, Role::Reader)?, place, schema),
            false => judge(&connection::open_immutable(place)?, place, schema),
        })?,
    };
    if let State::New = state {
        return Err(not_ours(place, "it is empty".into()));
    }
    let connection = match reader(place).map_err(|error| explain_read_only(place, error)) {
        // Nobody can write there, and nothing is left from when somebody could.
        Err(Error::ReadOnly { .. }) if !file::may_be_outdated(&place.path) => connection::open_immutable(place)?,
        connection => connection?,
    };
    match inspect(&connection, place, schema)? {
        State::Ours | State::Older(_) => Ok(connection),
        State::New => Err(not_ours(place, "its tables are missing".into())),
    }
}

/// A copy made by SQLite's own means has no write-ahead log before it is opened as a store.
fn reader(place: &Place) -> Result<Connection, Error> {
    let bare = connection::open_bare(place, Role::Reader)?;
    let mode = bare.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
    if mode.map_err(|error| place.error("reading journal_mode", error))? == "wal" {
        connection::configure(&bare, place, Role::Reader)?;
    }
    Ok(bare)
}

#[derive(Debug)]
enum State {
    New,
    Ours,
    /// Ours, with the schema of this older version.
    Older(u32),
}

/// Judges a file, its tables included, before anything may write to it.
fn look(place: &Place, schema: &Schema) -> Result<State, Error> {
    again_if_disturbed(|| look_once(place, schema))
}

/// Reading without locks leaves no trace, but another process may have just opened the file, and write what is read. So
/// what is not as it should be is looked at again before it is believed.
fn again_if_disturbed(look: impl Fn() -> Result<State, Error>) -> Result<State, Error> {
    (1..LOOKS).find_map(|_| look().ok()).map_or_else(look, Ok)
}

fn look_once(place: &Place, schema: &Schema) -> Result<State, Error> {
    if !file::may_be_outdated(&place.path) {
        return inspect(&connection::open_immutable(place)?, place, schema);
    }
    let state = connection::open_bare(place, Role::Reader).and_then(|bare| inspect(&bare, place, schema));
    match state {
        // A journal left by a crash must be rolled back before anything can be read, which takes a writer.
        Err(Error::ReadOnly { .. }) => {
            inspect(&connection::open_bare(place, Role::Writer(Durability::Full))?, place, schema)
        }
        state => state,
    }
}

/// Whose a file is, and whether we know its schema.
fn judge(connection: &Connection, place: &Place, schema: &Schema) -> Result<State, Error> {
    let at = |error| place.error("reading the schema", error);
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(at);
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if application == 0 && version == 0 {
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0)).map_err(at)?;
        if tables == 0 {
            return Ok(State::New);
        }
    }
    if application != schema.application_id {
        let ours = [&schema::STORE, &schema::READ_MODEL].into_iter().find(|ours| ours.application_id == application);
        let whose = ours.map_or("an SQLite file of another program", |schema| schema.what);
        return Err(not_ours(place, format!("it is {whose}")));
    }
    let supported = schema.version();
    match u32::try_from(version).unwrap_or_default() {
        0 => Err(not_ours(place, format!("it has schema version {version}"))),
        found if found > supported => Err(Error::SchemaTooNew { path: place.path.clone(), found, supported }),
        found if found < supported => Ok(State::Older(found)),
        _ => Ok(State::Ours),
    }
}

/// As [`judge`], and whether the tables are as we make them.
fn inspect(connection: &Connection, place: &Place, schema: &Schema) -> Result<State, Error> {
    let state = judge(connection, place, schema)?;
    let version = match state {
        State::New => return Ok(state),
        State::Ours => schema.version(),
        State::Older(version) => version,
    };
    match schema.difference(connection, version).map_err(|error| place.error("reading the schema", error))? {
        Some(difference) => Err(not_ours(place, difference)),
        None => Ok(state),
    }
}

/// Makes the tables of a new file, or those of the newest version from older ones, in one transaction. A new file gets
/// its write-ahead log afterwards: the main file alone is a whole, empty store.
fn make_tables(place: &Place, schema: &Schema, role: Role) -> Result<(), Error> {
    let mut connection = connection::open_bare(place, role)?;
    upgrade(&mut connection, place, schema)
}

/// Gives a file the newest version of its tables, through a connection that writes it.
pub(crate) fn upgrade(connection: &mut Connection, place: &Place, schema: &Schema) -> Result<(), Error> {
    let at = |error| place.error("creating the tables", error);
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(at)?;
    // Another process may have made them while this one waited.
    match inspect(&transaction, place, schema)? {
        State::New => schema.create(&transaction).map_err(at)?,
        State::Older(version) => {
            schema.upgrade(&transaction, version).map_err(at)?;
            let (from, to) = (version, schema.version());
            tracing::info!(path = %place.path.display(), from, to, "the tables have a new schema version");
        }
        State::Ours => {}
    }
    transaction.commit().map_err(at)
}

fn not_ours(place: &Place, why: String) -> Error {
    Error::NotAStore { path: place.path.clone(), why }
}

/// The log's index can't be made beside a file in a folder that can't be written.
fn explain_read_only(place: &Place, error: Error) -> Error {
    match error {
        Error::Io { source, .. } if is_cannot_open(&*source) && file::is_read_only(&place.path) => {
            Error::ReadOnly { path: place.path.clone(), source: Some(source) }
        }
        error => error,
    }
}

fn is_cannot_open(source: &(dyn std::error::Error + 'static)) -> bool {
    source.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code) == Some(ErrorCode::CannotOpen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::STORE;

    #[test]
    fn an_upgrade_that_is_cut_off_has_changed_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../tests/golden/store_1.sql")).unwrap();
        let place = Place { path: "bank.db".into(), busy_timeout: std::time::Duration::ZERO };
        let transaction = connection.transaction().unwrap();
        STORE.upgrade(&transaction, 1).unwrap();
        assert!(matches!(inspect(&transaction, &place, &STORE), Ok(State::Ours)));
        drop(transaction);
        assert!(matches!(inspect(&connection, &place, &STORE), Ok(State::Older(1))));
        upgrade(&mut connection, &place, &STORE).unwrap();
        assert!(matches!(inspect(&connection, &place, &STORE), Ok(State::Ours)));
    }
}
