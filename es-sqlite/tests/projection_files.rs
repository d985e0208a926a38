//! The tables and files of projections: migrations, resets, other stores.

mod support;

use std::path::Path;

use es_core::{Error, EventLog, Subscriber};
use es_sqlite::{SqliteProjection, SqliteProjectionBuilder, SqliteStore};
use support::{
    AccountHooks, append,
    balances::{TABLE, balances, both, expected, rows},
    deposit, folder, open_account,
};

#[tokio::test]
async fn a_reset_or_rebuilt_projection_equals_the_live_one() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    for id in ["a", "b", "c"] {
        open_account(&store, id).await;
        deposit(&store, &[(id, 7)]).await;
        deposit(&store, &[("a", 1)]).await;
    }
    for projection in both(&path, &store).await {
        projection.catch_up().await.unwrap();
        let live = rows(&projection).await;
        projection.reset().await.unwrap();
        assert_eq!(projection.checkpoint(0).await.unwrap(), 0);
        assert_eq!(rows(&projection).await, expected(&[]));
        projection.catch_up().await.unwrap();
        assert_eq!(rows(&projection).await, live);
        assert_eq!(projection.rebuild().await.unwrap(), store.head().await.unwrap());
        assert_eq!(rows(&projection).await, live);
    }
}

#[tokio::test]
async fn a_reset_drops_all_the_projection_made_and_nothing_else() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    let neighbour = balances().build(&store).unwrap();
    neighbour.catch_up().await.unwrap();
    let many = || {
        SqliteProjection::builder("many")
            .migration("CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE first_name (id INTEGER)")
            .migration("ALTER TABLE first_name RENAME TO \"odd \"\" name\"")
            .migration("CREATE TABLE child (parent INTEGER REFERENCES parent, n INTEGER UNIQUE); CREATE INDEX by_n ON child (n)")
            .migration("CREATE VIEW both AS SELECT * FROM parent JOIN child ON parent = id")
            .migration("CREATE TRIGGER echo AFTER INSERT ON parent BEGIN INSERT INTO child VALUES (new.id, new.id); END")
            .migration("CREATE VIRTUAL TABLE words USING fts5(text)")
            .on_account_opened(|tx, event, meta| {
                tx.execute("INSERT INTO parent VALUES (?1)", [meta.position])?;
                tx.execute("INSERT INTO words VALUES (?1)", [&event.account_id])?;
                Ok(())
            })
    };
    let projection = many().build(&store).unwrap();
    let count = async || {
        let sql = "SELECT (SELECT count(*) FROM both) + (SELECT count(*) FROM words WHERE words MATCH 'a')";
        projection.query(|tx| tx.query_row(sql, (), |row| row.get::<_, i64>(0))).await.unwrap()
    };
    for _ in 0..3 {
        projection.catch_up().await.unwrap();
        assert_eq!(count().await, 2);
        projection.reset().await.unwrap();
        assert_eq!(count().await, 0);
    }
    assert_eq!(rows(&neighbour).await, expected(&[("a", 0)]));
}

#[tokio::test]
async fn a_migration_is_applied_once_and_refused_when_it_was_edited() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    let read = path.with_file_name("read.db");
    for own_file in [false, true] {
        let build = |builder: SqliteProjectionBuilder, store: &SqliteStore, read: &Path| match own_file {
            true => builder.build_in(read, store),
            false => builder.build(store),
        };
        build(balances(), &store, &read).unwrap().catch_up().await.unwrap();
        // Built again, with one migration more: the rows stay.
        let more = build(balances().migration("ALTER TABLE balance ADD COLUMN note TEXT"), &store, &read).unwrap();
        assert_eq!(rows(&more).await, expected(&[("a", 0)]));

        let edited = SqliteProjection::builder("balances").migration(format!("{TABLE} /* edited */"));
        let message = build(edited, &store, &read).unwrap_err().to_string();
        assert!(message.contains("migration 1 of `balances` was changed after it was applied"), "{message}");
        let message = build(balances(), &store, &read).unwrap_err().to_string();
        assert!(message.contains("has 2 migrations applied and this program knows 1"), "{message}");
    }
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_behind() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let failing = SqliteProjection::builder("p").migration("CREATE TABLE half (id)").migration("CREATE NONSENSE");
    let error = failing.build(&store).unwrap_err();
    assert!(error.to_string().starts_with("migration 2 of `p`"), "{error}");
    let whole = SqliteProjection::builder("p").migration("CREATE TABLE half (id)").build(&store).unwrap();
    whole.query(|tx| tx.query("SELECT * FROM half", (), |_| Ok(()))).await.unwrap();
    append(&store, "a", 1).await;
}

#[tokio::test]
async fn tables_of_a_projection_can_not_have_our_names() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    for migration in [
        "CREATE TABLE es_balance (id)",
        "CREATE TABLE ES_balance (id)",
        "CREATE VIEW es_view AS SELECT 1",
        "CREATE TABLE fine (id); CREATE INDEX es_index ON fine (id)",
        "CREATE TABLE fine (id); ALTER TABLE fine RENAME TO es_fine",
        "CREATE VIRTUAL TABLE es_words USING fts5(text)",
        "COMMIT",
    ] {
        let error = SqliteProjection::builder("p").migration(migration).build(&store).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(
            error.to_string().contains("names that begin with es_")
                || source.contains("own")
                || source.contains("refused"),
            "{migration}: {error}: {source}"
        );
    }
    append(&store, "unharmed", 1).await;
}

#[tokio::test]
async fn a_store_restored_to_an_older_state_is_noticed() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    store.shutdown().await.unwrap();
    let backup = path.with_file_name("backup.db");
    std::fs::copy(&path, &backup).unwrap();

    let read = path.with_file_name("read.db");
    let store = SqliteStore::open(&path).await.unwrap();
    deposit(&store, &[("a", 5)]).await;
    balances().build_in(&read, &store).unwrap().catch_up().await.unwrap();
    store.shutdown().await.unwrap();
    std::fs::copy(&backup, &path).unwrap();

    let store = SqliteStore::open(&path).await.unwrap();
    let projection = balances().build_in(&read, &store).unwrap();
    let error = projection.catch_up().await.unwrap_err();
    assert!(matches!(error, Error::CheckpointAhead { checkpoint: 2, head: 1, .. }), "{error}");
    projection.rebuild().await.unwrap();
    assert_eq!(rows(&projection).await, expected(&[("a", 0)]));
}
