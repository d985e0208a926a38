//! The read model of the tests: one row per account.

#![allow(dead_code, missing_docs, unreachable_pub)]

use std::{collections::BTreeMap, path::Path};

use es_sqlite::{SqliteProjection, SqliteProjectionBuilder, SqliteStore, rusqlite};

use crate::support::AccountHooks;

pub const TABLE: &str = "CREATE TABLE balance (account_id TEXT PRIMARY KEY, cents INTEGER NOT NULL) STRICT";

pub fn balances() -> SqliteProjectionBuilder {
    SqliteProjection::builder("balances")
        .migration(TABLE)
        .on_account_opened(|tx, event, _meta| {
            tx.execute("INSERT INTO balance VALUES (?1, 0)", [&event.account_id])?;
            Ok(())
        })
        .on_money_deposited(|tx, event, _meta| {
            let sql = "UPDATE balance SET cents = cents + ?2 WHERE account_id = ?1";
            tx.execute(sql, (&event.account_id, event.cents))?;
            Ok(())
        })
}

pub async fn rows(projection: &SqliteProjection) -> BTreeMap<String, i64> {
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let rows = projection.query(|tx| tx.query("SELECT account_id, cents FROM balance", (), read)).await.unwrap();
    rows.into_iter().collect()
}

pub fn expected(rows: &[(&str, i64)]) -> BTreeMap<String, i64> {
    rows.iter().map(|(id, cents)| ((*id).to_owned(), *cents)).collect()
}

/// The same projection in the store's file and in one of its own.
pub async fn both(path: &Path, store: &SqliteStore) -> [SqliteProjection; 2] {
    [balances().build(store).unwrap(), balances().build_in(path.with_file_name("read.db"), store).unwrap()]
}
