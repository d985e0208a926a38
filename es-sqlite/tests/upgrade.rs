//! Files of former versions: opened, checked, brought up to date.

mod support;

use std::path::Path;

use es_core::{
    Answer, Appended, CheckpointStore, CommandId, CommandRecord, Commit, Error, EventLog, EventStore, Expected,
    ManualClock, Timestamp,
};
use es_sqlite::{SqliteStore, rusqlite::Connection, verify};
use support::{
    assert_sound,
    balances::{balances, expected, rows},
    deposit, events, folder, log, stream,
};

const STORE: &str = include_str!("golden/store_1.sql");
const READ_MODEL: &str = include_str!("golden/read_model_1.sql");

/// Makes a file of schema version 1.
fn make(path: &Path, sql: &str) {
    let file = Connection::open(path).unwrap();
    file.execute_batch(sql).unwrap();
    file.close().unwrap();
}

fn version(path: &Path) -> u32 {
    Connection::open(path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_store_of_the_first_version_goes_on_with_all_it_has() {
    let (_folder, path) = folder();
    make(&path, STORE);
    assert!(verify(&path).await.unwrap().is_sound(), "it can be checked as it is");
    assert_eq!(version(&path), 1, "which leaves it as it is");

    // Of that day: answers to commands are kept for a week.
    let clock = ManualClock::at(Timestamp::from_micros(1_795_249_283_000_000));
    let store = SqliteStore::builder(&path).clock(clock).open().await.unwrap();
    assert_eq!((version(&path), store.identity().epoch, store.epochs()), (2, 0, vec![]));
    let events_of = log(&store).await;
    assert_sound(&events_of);
    assert_eq!(events_of.len(), 5);
    let record = CommandRecord {
        id: CommandId::new("c-1").unwrap(),
        payload_hash: [1; 32],
        answer: Answer::Accepted(Vec::new()),
        stream: stream("c"),
        version: 1,
    };
    let again = Commit::append(stream("c"), Expected::NoStream, events(1)).command(record);
    assert!(matches!(store.append(again).await.unwrap(), Appended::Replayed(_)));
    let noting = store.checkpoints("noting").await.unwrap().remove(0);
    assert_eq!((noting.position, noting.store), (5, store.identity()));

    deposit(&store, &[("c", 9)]).await;
    let projection = balances().build(&store).unwrap();
    projection.catch_up().await.unwrap();
    assert_eq!(rows(&projection).await, expected(&[("a", 5), ("b", 7), ("c", 9)]));
    store.shutdown().await.unwrap();
    assert!(verify(&path).await.unwrap().is_sound());
}

#[tokio::test]
async fn a_read_model_of_the_first_version_goes_on_from_its_checkpoint() {
    let (_folder, path) = folder();
    let read = path.with_file_name("read.db");
    make(&path, STORE);
    make(&read, READ_MODEL);
    let store = SqliteStore::open(&path).await.unwrap();
    let projection = balances().build_in(&read, &store).unwrap();
    assert_eq!((version(&read), projection.status().await.unwrap().checkpoint), (2, 5));
    deposit(&store, &[("c", 9)]).await;
    projection.catch_up().await.unwrap();
    assert_eq!(rows(&projection).await, expected(&[("a", 5), ("b", 7), ("c", 9)]));
}

#[tokio::test]
async fn a_backup_of_the_first_version_is_restored_with_the_present_tables() {
    let (_folder, path) = folder();
    let backup = path.with_file_name("backup.db");
    make(&backup, STORE);
    let before = std::fs::read(&backup).unwrap();
    assert_eq!(SqliteStore::restore(&backup, &path).await.unwrap().head, 5);
    assert!(std::fs::read(&backup).unwrap() == before, "the backup stays as it is");
    let store = SqliteStore::builder(&path).create(false).open().await.unwrap();
    assert_eq!((version(&path), store.epochs()[0].began_after), (2, 5));
}

#[tokio::test]
async fn a_file_of_the_first_version_that_was_tampered_with_is_refused_and_left_alone() {
    let (_folder, path) = folder();
    make(&path, &format!("{STORE} DROP TRIGGER es_events_are_never_deleted;"));
    let before = std::fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(error, Error::NotAStore { .. }), "{error}");
    assert!(error.to_string().contains("es_events_are_never_deleted is missing"), "{error}");
    assert!(std::fs::read(&path).unwrap() == before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_open_a_file_of_the_first_version_at_once_one_changes_its_tables() {
    let (_folder, path) = folder();
    make(&path, STORE);
    let opening: Vec<_> = (0..8).map(|_| tokio::spawn(SqliteStore::open(path.clone()))).collect();
    for store in opening {
        let store = store.await.unwrap().unwrap();
        deposit(&store, &[("a", 1)]).await;
    }
    assert!(verify(&path).await.unwrap().is_sound());
}
