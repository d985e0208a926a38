//! Read models in a file of their own: which files they take, and that they close them.

mod support;

use std::path::Path;

use es_core::{Error, EventLog, Runner, Subscriber};
use es_sqlite::{SqliteProjection, SqliteStore, rusqlite::Connection};
use support::{
    AccountHooks,
    balances::{balances, expected, rows},
    folder, open_account,
};

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_stores_own_file_is_refused_with_what_to_call_instead() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let roundabout = folder.path().join(".").join("bank.db");
    for same in [&path, &roundabout] {
        let error = balances().build_in(same, &store).unwrap_err();
        assert!(matches!(error, Error::InvalidRequest { .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.ends_with("bank.db is the store's own file; use `build` to put the read model there"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_file_of_something_else_is_refused_in_words_that_fit() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let at = |name: &str| path.with_file_name(name);
    std::fs::write(at("short.txt"), b"a text").unwrap();
    std::fs::write(at("long.txt"), "a text ".repeat(1_000)).unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    Connection::open(at("foreign.db")).unwrap().execute_batch("CREATE TABLE cookies (id)").unwrap();
    SqliteStore::open(at("other.db")).await.unwrap().shutdown().await.unwrap();
    for (name, why) in [
        ("short.txt", "it is not an SQLite file"),
        ("long.txt", "it is not an SQLite file"),
        ("folder", "it is a folder"),
        ("foreign.db", "it is an SQLite file of another program"),
        ("other.db", "it is an event store"),
    ] {
        let error = balances().build_in(at(name), &store).unwrap_err();
        assert!(matches!(error, Error::InvalidRequest { .. }), "{error}");
        let message = error.to_string();
        assert!(message.ends_with(&format!("{name} can't be used for a read model: {why}")), "{message}");
    }
    balances().build_in(at("read.db"), &store).unwrap().close().await;
    let message = SqliteStore::open(at("read.db")).await.unwrap_err().to_string();
    assert!(message.ends_with("read.db is not an event store: it is a file of read models"), "{message}");
}

#[tokio::test]
async fn a_name_that_can_not_be_one_is_refused() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let error = SqliteProjection::builder("").build(&store).unwrap_err();
    assert_eq!(error.to_string(), "invalid projection name: it is empty");
}

#[tokio::test]
async fn a_read_model_of_another_store_is_refused_when_it_is_built() {
    let (_folder, path) = folder();
    let read = path.with_file_name("read.db");
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    let projection = balances().build_in(&read, &store).unwrap();
    projection.catch_up().await.unwrap();
    let former = store.identity().id.to_string();
    drop(projection);
    store.shutdown().await.unwrap();

    std::fs::remove_file(&path).unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    let error = balances().migration("CREATE TABLE more (id)").build_in(&read, &store).unwrap_err();
    assert!(matches!(&error, Error::StoreIdentityChanged { expected, .. } if *expected == former), "{error}");
    // Nothing was changed, and the way out is the one in the documentation.
    balances().build_in(&read, &store).unwrap_err();
    std::fs::remove_file(&read).unwrap();
    open_account(&store, "b").await;
    let projection = balances().build_in(&read, &store).unwrap();
    projection.catch_up().await.unwrap();
    assert_eq!(rows(&projection).await, expected(&[("b", 0)]));
}

#[tokio::test]
async fn a_read_model_that_has_handled_nothing_may_follow_another_store() {
    let (_folder, path) = folder();
    let read = path.with_file_name("read.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let former = balances().build_in(&read, &store).unwrap();
    let other = SqliteStore::open(path.with_file_name("other.db")).await.unwrap();
    open_account(&other, "b").await;
    let projection = balances().build_in(&read, &other).unwrap();
    projection.catch_up().await.unwrap();
    assert_eq!(rows(&projection).await, expected(&[("b", 0)]));
    for error in [former.catch_up().await.unwrap_err(), former.checkpoint(0).await.unwrap_err()] {
        assert!(matches!(error, Error::StoreIdentityChanged { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_projection_run_on_another_store_than_it_was_built_on_stops() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let other = SqliteStore::open(path.with_file_name("other.db")).await.unwrap();
    open_account(&other, "b").await;
    let projection = balances().build_in(path.with_file_name("read.db"), &store).unwrap();
    let error = projection.advance(&other, 0).await.unwrap_err();
    assert!(matches!(error, Error::StoreIdentityChanged { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_shutdown_and_drop_only_the_database_files_are_left() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    let own = balances().build_in(path.with_file_name("read.db"), &store).unwrap();
    let second = balances().build_in(path.with_file_name("read.db"), &store).unwrap();
    let running = Runner::new(store.clone()).run(own.clone()).start().unwrap();
    running.wait_for_position("balances", 1, std::time::Duration::from_secs(10)).await.unwrap();
    // Both reading connections are in use.
    let (one, two) = tokio::join!(rows(&own), rows(&own));
    assert_eq!((one, two, rows(&second).await), (expected(&[("a", 0)]), expected(&[("a", 0)]), expected(&[("a", 0)])));
    running.shutdown().await;
    store.shutdown().await.unwrap();
    drop((own, second));
    assert_eq!(files(folder.path()), ["bank.db", "read.db"]);
}

#[tokio::test]
async fn a_closed_projection_leaves_only_its_file_and_says_that_it_is_closed() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    let own = balances().build_in(path.with_file_name("read.db"), &store).unwrap();
    own.catch_up().await.unwrap();
    rows(&own).await;
    let clone = own.clone();
    for _ in 0..2 {
        own.close().await;
    }
    assert!(!files(folder.path()).iter().any(|name| name.starts_with("read.db-")));
    let late = [
        clone.query(|_| Ok(())).await.unwrap_err(),
        clone.catch_up().await.unwrap_err(),
        clone.reset().await.unwrap_err(),
    ];
    for error in late {
        assert!(matches!(error, Error::ShuttingDown), "{error}");
    }
    let again = balances().build_in(path.with_file_name("read.db"), &store).unwrap();
    assert_eq!(rows(&again).await, expected(&[("a", 0)]));

    // There is nothing to close for one in the store's file.
    let same = balances().build(&store).unwrap();
    same.close().await;
    same.catch_up().await.unwrap();
}

#[tokio::test]
async fn a_read_model_is_closed_also_when_its_last_clone_goes_with_a_failed_build() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let failing = SqliteProjection::builder("p").migration("CREATE NONSENSE").on_account_opened(|_, _, _| Ok(()));
    failing.build_in(path.with_file_name("read.db"), &store).unwrap_err();
    assert_eq!(
        files(folder.path()).into_iter().filter(|name| name.starts_with("read")).collect::<Vec<_>>(),
        ["read.db"]
    );
}
