//! All rows of some tables, as text, to be compared.

use std::{collections::BTreeMap, fmt::Write};

use rusqlite::{Row, types::ValueRef};

use crate::{Tx, projection::quoted};

/// The rows of each table, sorted.
#[derive(Debug, Default)]
pub(super) struct Rows(BTreeMap<String, Vec<String>>);

impl Rows {
    pub(super) fn read(tx: &Tx<'_>, tables: &[String]) -> rusqlite::Result<Self> {
        let mut all = BTreeMap::new();
        for table in tables {
            let mut rows = tx.query(&format!("SELECT * FROM {}", quoted(table)), (), in_words)?;
            rows.sort_unstable();
            all.insert(table.clone(), rows);
        }
        Ok(Self(all))
    }

    /// The first table that is another one, and of it the first row on either side that the other has not.
    pub(super) fn difference(&self, name: &str, other: &Self, other_name: &str) -> Option<String> {
        let (mine, others) = (self.0.keys(), other.0.keys());
        let mut tables: Vec<_> = mine.chain(others).collect();
        tables.sort_unstable();
        tables.dedup();
        tables.into_iter().find_map(|table| {
            let rows = |of: &Self| of.0.get(table).cloned().unwrap_or_default();
            let (mine, others) = (rows(self), rows(other));
            (mine != others).then(|| {
                let [only_here, only_there] = [first_only_in(&mine, &others), first_only_in(&others, &mine)];
                format!("table `{table}`\n  {name}: {only_here}\n  {other_name}: {only_there}")
            })
        })
    }
}

/// The first row that is there more often than in the other table.
fn first_only_in(rows: &[String], others: &[String]) -> String {
    let count = |rows: &[String], row: &String| rows.iter().filter(|other| *other == row).count();
    let only = rows.iter().find(|row| count(rows, row) > count(others, row));
    only.cloned().unwrap_or_else(|| "no such row".into())
}

/// `account_id = 'a', cents = 7`
fn in_words(row: &Row<'_>) -> rusqlite::Result<String> {
    let mut words = String::new();
    for (at, column) in row.as_ref().column_names().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let value = match row.get_ref(at)? {
            ValueRef::Null => "NULL".into(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => format!("{number:?}"),
            ValueRef::Text(text) => format!("'{}'", String::from_utf8_lossy(text).escape_debug()),
            ValueRef::Blob(bytes) => bytes.iter().fold("x'".to_owned(), |hex, byte| format!("{hex}{byte:02x}")) + "'",
        };
        let _ = write!(words, "{comma}{column} = {value}");
    }
    Ok(words)
}
