//! A rebuilt read model is the same as one that was made in place: every kind of table, every row.

mod support;

use std::{fmt::Write, path::Path};

use es_sqlite::{
    SqliteProjection, SqliteProjectionBuilder, SqliteStore,
    rusqlite::{
        Connection,
        types::{Value, ValueRef},
    },
};
use support::{
    AccountHooks, deposit, folder, open_account,
    rebuild::{build, records_one_more},
};

/// One of everything.
const TABLES: &str = r#"
    CREATE TABLE account (id TEXT PRIMARY KEY, cents INTEGER NOT NULL DEFAULT 0, euros REAL AS (cents / 100.0) STORED,
                          shout TEXT AS (upper(id)), any_thing ANY) STRICT;
    CREATE TABLE opened (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT REFERENCES account (id) ON DELETE CASCADE);
    CREATE TABLE "odd ""name" ("a b", rowid TEXT, _rowid_, "select" BLOB);
    CREATE TABLE all_taken (rowid, _rowid_, oid);
    CREATE TABLE backwards (id INTEGER PRIMARY KEY DESC, note TEXT);
    CREATE TABLE daily (day INTEGER, id TEXT, cents INTEGER, PRIMARY KEY (id, day DESC)) WITHOUT ROWID;
    CREATE TABLE echo (line TEXT);
    CREATE INDEX by_cents ON account (cents) WHERE cents > 0;
    CREATE UNIQUE INDEX by_lower ON account (lower(id) COLLATE NOCASE);
    CREATE VIEW rich AS SELECT id FROM account WHERE cents > 100;
    CREATE TRIGGER echoed AFTER INSERT ON account BEGIN INSERT INTO echo VALUES (new.id); END;
    CREATE TRIGGER through INSTEAD OF INSERT ON rich BEGIN INSERT INTO echo VALUES ('rich ' || new.id); END;
"#;

fn zoo() -> SqliteProjectionBuilder {
    SqliteProjection::builder("zoo")
        .migration(TABLES)
        .migration("CREATE TABLE renamed (id); ALTER TABLE renamed RENAME TO chosen; ALTER TABLE chosen ADD COLUMN more DEFAULT 7")
        .migration("CREATE VIRTUAL TABLE words USING fts5(text, tokenize = 'porter', prefix = '2 3')")
        .migration("CREATE VIRTUAL TABLE bare USING fts5(text, content = '')")
        .migration(
            "CREATE VIRTUAL TABLE names USING fts5(id, content = 'account');
             CREATE TRIGGER named AFTER INSERT ON account
             BEGIN INSERT INTO names (rowid, id) VALUES (new.rowid, new.id); END",
        )
        .migration("CREATE VIRTUAL TABLE old_words USING fts4(text)")
        .migration("CREATE VIRTUAL TABLE box USING rtree(id, low, high)")
        .migration("INSERT INTO words (words, rank) VALUES ('rank', 'bm25(10.0)'); INSERT INTO chosen (id) VALUES (1.0), ('1'), (x'31'), (NULL)")
        .on_account_opened(|tx, event, meta| {
            let id = &event.account_id;
            tx.execute("INSERT INTO account (id, any_thing) VALUES (?1, ?2)", (id, Value::Blob(vec![0, 255, 7])))?;
            tx.execute("INSERT INTO opened (id) VALUES (?1), (?1)", [id])?;
            // What it gave out is not given out again.
            tx.execute("DELETE FROM opened WHERE number % 2 = 0", ())?;
            tx.execute(r#"INSERT INTO "odd ""name" (oid, "a b", rowid, "select") VALUES (?1 * 1000, 1, 'r', x'00')"#, [meta.position])?;
            tx.execute("INSERT INTO all_taken VALUES (1, 2.5, ?1)", [id])?;
            tx.execute("INSERT INTO backwards (id, note) VALUES (?1, CAST(x'ff41' AS TEXT))", [meta.position])?;
            tx.execute("INSERT INTO rich VALUES (?1)", [id])?;
            tx.execute("INSERT INTO words VALUES (?1 || ' was running')", [id])?;
            tx.execute("INSERT INTO bare (rowid, text) VALUES (?1, ?2)", (meta.position, id))?;
            tx.execute("INSERT INTO old_words VALUES (?1 || ' was running')", [id])?;
            tx.execute("INSERT INTO box VALUES (?1, ?1, ?1 + 1)", [meta.position])?;
            Ok(())
        })
        .on_money_deposited(|tx, event, meta| {
            let id = &event.account_id;
            tx.execute("UPDATE account SET cents = cents + ?2 WHERE id = ?1", (id, event.cents))?;
            tx.execute("INSERT INTO daily VALUES (?1, ?2, ?3)", (meta.position, id, event.cents))?;
            tx.execute("UPDATE words SET text = text || ' deposited' WHERE words MATCH ?1", [id])?;
            Ok(())
        })
}

/// The read model's part of a file: every object with its SQL, every row with its rowid.
fn dump(path: &Path) -> String {
    let connection = Connection::open(path).unwrap();
    let mut dump = String::new();
    let texts = |sql: &str| -> Vec<String> {
        connection.prepare(sql).unwrap().query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    for object in texts(
        "SELECT type || ' ' || name || ' ' || tbl_name || ': ' || coalesce(sql, '') FROM sqlite_schema
         WHERE name NOT LIKE 'es\\_%' ESCAPE '\\' AND tbl_name NOT LIKE 'es\\_%' ESCAPE '\\' ORDER BY 1",
    ) {
        writeln!(dump, "{object}").unwrap();
    }
    let tables = texts(
        "SELECT CASE WHEN wr OR name = 'all_taken' THEN '*' WHEN name LIKE 'odd%' THEN 'oid, *' ELSE 'rowid, *' END
                || ' FROM \"' || replace(name, '\"', '\"\"') || '\"' FROM pragma_table_list
         WHERE schema = 'main' AND type IN ('table', 'shadow') AND name NOT LIKE 'es\\_%' ESCAPE '\\'
           AND name NOT IN ('sqlite_schema') ORDER BY name",
    );
    for table in tables {
        writeln!(dump, "{table}").unwrap();
        let mut select = connection.prepare(&format!("SELECT {table}")).unwrap();
        let count = select.column_count();
        let mut rows = select.query(()).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<_> = (0..count)
                .map(|column| match row.get_ref(column).unwrap() {
                    ValueRef::Text(text) => format!("'{}'", text.escape_ascii()),
                    value => format!("{value:?}"),
                })
                .collect();
            writeln!(dump, "  {}", values.join(", ")).unwrap();
        }
    }
    for noted in texts(
        "SELECT kind || ' ' || name FROM es_objects UNION ALL SELECT number || ' ' || hash FROM es_migrations ORDER BY 1",
    ) {
        writeln!(dump, "{noted}").unwrap();
    }
    dump
}

/// Asserts that SQLite finds nothing wrong, also inside the virtual tables.
fn assert_intact(path: &Path) {
    let connection = Connection::open(path).unwrap();
    let check: String = connection.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    assert!(!connection.prepare("PRAGMA foreign_key_check").unwrap().exists(()).unwrap());
    for table in ["words", "bare", "names", "old_words"] {
        connection.execute(&format!("INSERT INTO {table} ({table}) VALUES ('integrity-check')"), ()).unwrap();
    }
    let check: String = connection.query_row("SELECT rtreecheck('box')", (), |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

async fn count(projection: &SqliteProjection, sql: &str) -> i64 {
    projection.query(|tx| tx.query_row(sql, (), |row| row.get(0))).await.unwrap()
}

#[tokio::test]
async fn every_kind_of_table_survives() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let read = if own_file { path.with_file_name("read.db") } else { path.clone() };
        let store = SqliteStore::open(&path).await.unwrap();
        for n in 0..40 {
            open_account(&store, &format!("account{n}")).await;
            deposit(&store, &[(&format!("account{n}"), n * 10)]).await;
        }
        let projection = build(own_file, zoo(), &path, &store);
        projection.catch_up().await.unwrap();
        let made_in_place = dump(&read);
        assert!(made_in_place.contains("account39"), "{made_in_place}");

        for _ in 0..2 {
            projection.rebuild().await.unwrap();
            similar(&dump(&read), &made_in_place);
            assert_intact(&read);
        }

        // And it goes on, on the same connections.
        for _ in 0..2 {
            let id = format!("more{}", count(&projection, "SELECT count(*) FROM account").await);
            open_account(&store, &id).await;
            deposit(&store, &[(&id, 200)]).await;
            projection.catch_up().await.unwrap();
            for found in [
                "SELECT count(*) FROM words WHERE words MATCH 'run'",
                "SELECT count(*) FROM old_words WHERE old_words MATCH 'running'",
                "SELECT count(*) FROM bare",
                "SELECT count(*) FROM names WHERE names MATCH 'account* OR more*'",
                "SELECT count(*) FROM box WHERE low >= 0",
                "SELECT count(*) FROM account",
                "SELECT count(*) / 2 FROM echo",
            ] {
                assert_eq!(
                    count(&projection, found).await,
                    count(&projection, "SELECT count(*) FROM account").await,
                    "{found}"
                );
            }
            assert_intact(&read);
            projection.rebuild().await.unwrap();
        }
        assert_eq!(count(&projection, "SELECT max(number) FROM opened").await, 83);
        let rebuilt = dump(&read);
        projection.reset().await.unwrap();
        projection.catch_up().await.unwrap();
        similar(&rebuilt, &dump(&read));
        assert_intact(&read);
    }
}

#[tokio::test]
async fn what_was_copied_goes_on_in_the_same_transaction() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = SqliteStore::open(&path).await.unwrap();
        open_account(&store, "a").await;
        deposit(&store, &[("a", 1)]).await;
        let record = records_one_more(2, &store);
        let builder = zoo().on_money_deposited(move |_, _, meta| {
            record(meta.position);
            Ok(())
        });
        let projection = build(own_file, builder, &path, &store);
        assert_eq!(projection.rebuild().await.unwrap(), 3);
        let twice = "SELECT count(*) FROM words WHERE words MATCH 'deposited' AND text LIKE '% deposited deposited'";
        assert_eq!(count(&projection, twice).await, 1);
        assert_eq!(count(&projection, "SELECT cents FROM account").await, 101);
        assert_intact(&if own_file { path.with_file_name("read.db") } else { path });
    }
}

/// Names the first line that differs.
fn similar(one: &str, other: &str) {
    for (line, (one, other)) in one.lines().zip(other.lines()).enumerate() {
        assert_eq!(one, other, "in line {line}");
    }
    assert_eq!(one.lines().count(), other.lines().count());
}
