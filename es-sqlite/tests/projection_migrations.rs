//! Migrations: applied once, embedded from files, taken back by an older program.

mod support;

use std::path::Path;

use es_core::{Error, EventLog, Subscriber};
use es_sqlite::{Migration, SqliteProjection, SqliteProjectionBuilder, SqliteStore};
use support::{
    AccountHooks,
    balances::{TABLE, rows},
    deposit, folder, open_account,
};

/// The read model of `balances`, with these migrations after its first.
fn with(migrations: impl IntoIterator<Item = Migration>) -> SqliteProjectionBuilder {
    SqliteProjection::builder("balances")
        .migration(TABLE)
        .migrations(migrations)
        .on_account_opened(|tx, event, _| {
            tx.run("INSERT INTO balance (account_id, cents) VALUES (?1, 0)", [&event.account_id])
        })
        .on_money_deposited(|tx, event, _| {
            tx.run("UPDATE balance SET cents = cents + ?2 WHERE account_id = ?1", (&event.account_id, event.cents))
        })
}

fn build(
    own_file: bool,
    builder: SqliteProjectionBuilder,
    path: &Path,
    store: &SqliteStore,
) -> es_core::Result<SqliteProjection> {
    let read = path.with_file_name("read.db");
    if own_file { builder.build_in(read, store) } else { builder.build(store) }
}

fn note() -> Migration {
    Migration::new("ALTER TABLE balance ADD COLUMN note TEXT").down("ALTER TABLE balance DROP COLUMN note")
}

fn log() -> Migration {
    Migration::new("CREATE TABLE log (line TEXT); CREATE INDEX log_line ON log (line)").down("DROP TABLE log")
}

/// Tables, indexes and columns of the read model.
async fn shape(projection: &SqliteProjection) -> Vec<String> {
    let sql = "SELECT s.name || coalesce('.' || c.name, '') FROM sqlite_schema s LEFT JOIN pragma_table_info(s.name) c
               WHERE s.name NOT LIKE 'es\\_%' ESCAPE '\\' AND s.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1";
    projection.query(|tx| tx.query(sql, (), |row| row.get(0))).await.unwrap()
}

#[tokio::test]
async fn an_older_program_takes_back_what_it_does_not_know() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = SqliteStore::open(&path).await.unwrap();
        open_account(&store, "a").await;
        deposit(&store, &[("a", 5)]).await;
        let newer = build(own_file, with([note(), log()]), &path, &store).unwrap();
        newer.catch_up().await.unwrap();
        let before = shape(&newer).await;
        assert_eq!(before, ["balance.account_id", "balance.cents", "balance.note", "log.line", "log_line"]);
        drop(newer);

        let older = build(own_file, with([]), &path, &store).unwrap();
        assert_eq!(shape(&older).await, ["balance.account_id", "balance.cents"]);
        assert_eq!(rows(&older).await, support::balances::expected(&[("a", 5)]), "the rows stay");
        deposit(&store, &[("a", 2)]).await;
        older.catch_up().await.unwrap();
        drop(older);

        // And forth again: the migrations count as not applied.
        let newer = build(own_file, with([note(), log()]), &path, &store).unwrap();
        assert_eq!(shape(&newer).await, before);
        assert_eq!(rows(&newer).await, support::balances::expected(&[("a", 7)]));
        assert_eq!(newer.checkpoint(0).await.unwrap(), store.head().await.unwrap());
    }
}

#[tokio::test]
async fn one_that_can_not_be_taken_back_is_named_and_nothing_is_changed() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = SqliteStore::open(&path).await.unwrap();
        let stays = Migration::new("CREATE TABLE stays (id)");
        let newer = build(own_file, with([stays, note()]), &path, &store).unwrap();
        let before = shape(&newer).await;
        let error = build(own_file, with([]), &path, &store).unwrap_err();
        assert!(matches!(error, Error::InvalidRequest { .. }), "{error}");
        assert_eq!(
            error.to_string(),
            "invalid request: `balances` has 3 migrations applied and this program knows 1; put the missing ones back \
             (migration 2 was applied without a `down`, which would take it back)"
        );
        assert_eq!(shape(&newer).await, before);
    }
}

#[tokio::test]
async fn a_down_that_fails_leaves_everything_as_it_was() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let wrong = Migration::new("CREATE TABLE more (id)").down("DROP TABLE more; DROP TABLE nowhere");
    let newer = with([wrong.clone(), log()]).build(&store).unwrap();
    let before = shape(&newer).await;
    let error = with([]).build(&store).unwrap_err();
    assert!(error.to_string().starts_with("taking back migration 2 of `balances`"), "{error}");
    assert_eq!(shape(&newer).await, before);
    with([wrong, log()]).build(&store).unwrap();
}

#[tokio::test]
async fn a_down_can_be_added_or_corrected_later() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let up = || Migration::new("CREATE TABLE more (id)");
    with([up().down("NONSENSE")]).build(&store).unwrap();
    with([up()]).build(&store).unwrap();
    with([]).build(&store).unwrap_err();
    with([up().down("DROP TABLE more")]).build(&store).unwrap();
    let older = with([]).build(&store).unwrap();
    assert_eq!(shape(&older).await, ["balance.account_id", "balance.cents"]);
}

#[tokio::test]
async fn a_down_may_not_do_more_than_a_migration() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    with([Migration::new("CREATE TABLE more (id)").down("DELETE FROM es_checkpoints")]).build(&store).unwrap();
    let error = with([]).build(&store).unwrap_err();
    assert!(format!("{error:?}").contains("es_checkpoints is refused"), "{error:?}");
}

#[tokio::test]
async fn an_edited_migration_is_refused_by_its_number() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    with([note(), log()]).build(&store).unwrap();
    let edited = Migration::new("CREATE TABLE log (line TEXT, at INTEGER)").down("DROP TABLE log");
    let message = with([note(), edited]).build(&store).unwrap_err().to_string();
    assert!(message.contains("migration 3 of `balances` was changed after it was applied"), "{message}");
}

#[tokio::test]
async fn migrations_are_embedded_from_files() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let embedded = es_sqlite::migrations!("sql/1_balance.sql", "sql/2_index.sql" => "sql/2_index.down.sql");
    let first = embedded[0].clone();
    let both = SqliteProjection::builder("balances").migrations(embedded).build(&store).unwrap();
    assert_eq!(shape(&both).await, ["balance.account_id", "balance.cents", "by_cents"]);
    drop(both);
    let older = SqliteProjection::builder("balances").migration(first).build(&store).unwrap();
    assert_eq!(shape(&older).await, ["balance.account_id", "balance.cents"]);
}
