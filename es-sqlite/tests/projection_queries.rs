//! Queries that go wrong: the mistake is the query's, and the read model is unharmed.

mod support;

use std::error::Error as _;

use es_core::Error;
use es_sqlite::{SqliteStore, Tx, rusqlite};
use support::{
    balances::{both, expected, rows},
    folder, open_account,
};

type Query = fn(&Tx<'_>) -> rusqlite::Result<()>;

#[tokio::test]
async fn an_error_of_a_querys_closure_is_never_said_to_be_damage() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let wrong: [(&str, Query); 11] = [
        ("NULL as a number", |tx| tx.query_row("SELECT NULL", (), |row| row.get::<_, i64>(0)).map(drop)),
        ("a text as a number", |tx| tx.query_row("SELECT 'x'", (), |row| row.get::<_, i64>(0)).map(drop)),
        ("too large a number", |tx| tx.query_row("SELECT 300", (), |row| row.get::<_, u8>(0)).map(drop)),
        ("bytes as a text", |tx| {
            tx.query_row("SELECT CAST(x'ff' AS TEXT)", (), |row| row.get::<_, String>(0)).map(drop)
        }),
        ("no such column", |tx| tx.query_row("SELECT 1", (), |row| row.get::<_, i64>(7)).map(drop)),
        ("no such name", |tx| tx.query_row("SELECT 1", (), |row| row.get::<_, i64>("x")).map(drop)),
        ("no rows", |tx| tx.query_row("SELECT 1 WHERE 0", (), |_| Ok(()))),
        ("too many parameters", |tx| tx.query_row("SELECT 1", [1], |_| Ok(()))),
        ("an unbindable parameter", |tx| tx.query_row("SELECT ?1", [u64::MAX], |_| Ok(()))),
        ("no such table", |tx| tx.query_row("SELECT * FROM nonsense", (), |_| Ok(()))),
        ("an error of its own", |_| Err(rusqlite::Error::ToSqlConversionFailure("mine".into()))),
    ];
    for projection in both(&path, &store).await {
        for (what, query) in wrong {
            let error = projection.query(query).await.unwrap_err();
            assert!(matches!(error, Error::Database { .. }), "{what}: {error}");
            assert!(error.to_string().starts_with("a query of `balances` ("), "{what}: {error}");
            assert!(error.source().is_some_and(<dyn std::error::Error>::is::<rusqlite::Error>), "{what}: {error}");
        }
    }
}

#[tokio::test]
async fn a_hook_that_reads_a_column_of_another_type_stops_its_projection_there() {
    use support::AccountHooks;
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    let wrong = es_sqlite::SqliteProjection::builder("wrong").on_account_opened(|tx, _, _| {
        tx.query_row("SELECT NULL", (), |row| row.get::<_, i64>(0))?;
        Ok(())
    });
    let error = wrong.build(&store).unwrap().catch_up().await.unwrap_err();
    assert!(matches!(error, Error::ProjectionFaulted { position: 1, .. }), "{error}");
}

#[tokio::test]
async fn a_panic_in_a_query_is_an_error_and_leaves_all_connections() {
    let (_folder, path) = folder();
    let store = SqliteStore::builder(&path).readers(2).open().await.unwrap();
    open_account(&store, "a").await;
    for projection in both(&path, &store).await {
        projection.catch_up().await.unwrap();
        for _ in 0..5 {
            let panicking = |tx: &Tx<'_>| {
                let mut statement = tx.prepare("SELECT account_id FROM balance")?;
                let _open = statement.query(())?.next()?;
                panic!("not today")
            };
            let error = projection.query::<()>(panicking).await.unwrap_err();
            assert_eq!(error.to_string(), "a query of `balances` panicked");
        }
        assert_eq!(rows(&projection).await, expected(&[("a", 0)]));
    }
    store.shutdown().await.unwrap();
}
