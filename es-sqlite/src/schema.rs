//! Our tables: what they are called, which version they have, and whether a file's are really ours.

use std::collections::BTreeSet;

use es_core::Tenant;
use rusqlite::Connection;

/// The tables of one kind of file.
#[derive(Debug)]
pub(crate) struct Schema {
    /// What such a file is called in errors.
    pub(crate) what: &'static str,
    /// Tells a file of ours from any other SQLite file.
    pub(crate) application_id: i32,
    /// What makes each version of its tables from the one before, the first from nothing.
    steps: &'static [&'static [&'static str]],
}

/// The event store.
pub(crate) const STORE: Schema = Schema {
    what: "an event store",
    application_id: i32::from_be_bytes(*b"EsSt"),
    steps: &[
        &[include_str!("schema.sql"), include_str!("projection/schema.sql")],
        &[include_str!("epochs.sql"), include_str!("projection/epochs.sql")],
    ],
};

/// A file of read models.
pub(crate) const READ_MODEL: Schema = Schema {
    what: "a file of read models",
    application_id: i32::from_be_bytes(*b"EsRm"),
    steps: &[&[include_str!("projection/schema.sql")], &[include_str!("projection/epochs.sql")]],
};

/// How a tenant stands in a column: empty for none.
pub(crate) fn tenant(tenant: Option<&Tenant>) -> &str {
    tenant.map_or("", Tenant::as_str)
}

impl Schema {
    /// The version this program writes, and the newest it reads.
    pub(crate) fn version(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    /// Makes the tables of the newest version, inside the caller's transaction.
    pub(crate) fn create(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.pragma_update(None, "application_id", self.application_id)?;
        self.change(connection, 0, self.version())
    }

    /// Makes the tables of the newest version from those of another one, inside the caller's transaction.
    pub(crate) fn upgrade(&self, connection: &Connection, from: u32) -> rusqlite::Result<()> {
        self.change(connection, from, self.version())
    }

    fn change(&self, connection: &Connection, from: u32, to: u32) -> rusqlite::Result<()> {
        let steps = self.steps.iter().take(to as usize).skip(from as usize);
        steps.copied().flatten().try_for_each(|sql| connection.execute_batch(sql))?;
        connection.pragma_update(None, "user_version", to)
    }

    /// What is wrong with the tables of a file that says it has this version of the schema. A foreign trigger or view on
    /// our tables could change what we write; a missing trigger no longer guards the events.
    pub(crate) fn difference(&self, connection: &Connection, version: u32) -> rusqlite::Result<Option<String>> {
        let model = Connection::open_in_memory()?;
        self.change(&model, 0, version)?;
        let (expected, found) = (objects(&model)?, objects(connection)?);
        let differs = expected.symmetric_difference(&found).next();
        Ok(differs.map(|(kind, name, ..)| match expected.iter().any(|(.., known, _, _)| known == name) {
            true => format!("its {kind} {name} is missing or differs from that of {}", self.what),
            false => format!("it has a {kind} {name} that does not belong to {}", self.what),
        }))
    }
}

/// Kind, name, table, SQL.
type Object = (String, String, String, Option<String>);

/// All that belongs to tables of ours.
fn objects(connection: &Connection) -> rusqlite::Result<BTreeSet<Object>> {
    connection
        .prepare(
            "SELECT type, name, tbl_name, sql FROM sqlite_schema
             WHERE name LIKE 'es\\_%' ESCAPE '\\' OR tbl_name LIKE 'es\\_%' ESCAPE '\\'",
        )?
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_trigger_on_our_tables_is_found() {
        let connection = Connection::open_in_memory().unwrap();
        STORE.create(&connection).unwrap();
        assert_eq!(STORE.difference(&connection, STORE.version()).unwrap(), None);
        connection
            .execute_batch("CREATE TRIGGER thief AFTER INSERT ON es_events BEGIN DELETE FROM es_claims; END")
            .unwrap();
        let difference = STORE.difference(&connection, STORE.version()).unwrap().unwrap();
        assert_eq!(difference, "it has a trigger thief that does not belong to an event store");
    }

    #[test]
    fn a_missing_guard_is_found() {
        let connection = Connection::open_in_memory().unwrap();
        STORE.create(&connection).unwrap();
        connection.execute_batch("DROP TRIGGER es_events_are_never_changed").unwrap();
        let difference = STORE.difference(&connection, STORE.version()).unwrap().unwrap();
        assert!(difference.contains("es_events_are_never_changed is missing"), "{difference}");
    }

    #[test]
    fn tables_of_the_user_are_no_concern_of_ours() {
        let connection = Connection::open_in_memory().unwrap();
        STORE.create(&connection).unwrap();
        connection.execute_batch("CREATE TABLE estate (id INTEGER PRIMARY KEY)").unwrap();
        assert_eq!(STORE.difference(&connection, STORE.version()).unwrap(), None);
    }
}
