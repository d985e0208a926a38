//! Damage done to closed files by hand.

#![allow(dead_code, missing_docs, unreachable_pub)]

use std::path::Path;

use es_sqlite::rusqlite::{Connection, Row};

/// Changes one row of a closed store, past the guards, which stand again afterwards.
pub fn by_hand(path: &Path, sql: &str) {
    let hand = Connection::open(path).unwrap();
    hand.pragma_update(None, "synchronous", "off").unwrap();
    let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let select = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'es_events'";
    let guards: Vec<_> = hand.prepare(select).unwrap().query_map((), read).unwrap().map(Result::unwrap).collect();
    for (name, _) in &guards {
        hand.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    assert_eq!(hand.execute(sql, ()).unwrap(), 1, "{sql}");
    for (_, sql) in &guards {
        hand.execute_batch(sql).unwrap();
    }
    hand.close().unwrap();
}
