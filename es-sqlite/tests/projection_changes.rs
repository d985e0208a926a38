//! Projections that handle other events than their read model was made from.

mod support;

use std::path::Path;

use es_core::{Error, Runner, Subscriber, runner::State};
use es_sqlite::{SqliteProjection, SqliteProjectionBuilder, SqliteStore};
use support::{
    AccountHooks,
    balances::{TABLE, balances, expected, rows},
    commit, deposit, folder, open_account, stream,
};

const OPENED: &str = "bank.v1.AccountOpened";
const DEPOSITED: &str = "bank.v1.MoneyDeposited";

/// `balances` without deposits.
fn accounts() -> SqliteProjectionBuilder {
    SqliteProjection::builder("balances")
        .migration(TABLE)
        .on_account_opened(|tx, event, _| tx.run("INSERT INTO balance VALUES (?1, 0)", [&event.account_id]))
}

/// `accounts` with a hook for an event of two names.
fn renamed() -> SqliteProjectionBuilder {
    #[derive(Clone, Debug)]
    struct Closed;
    impl es_core::Event for Closed {
        const TYPE: &'static str = "bank.v1.Closed";
        const TYPES: &'static [&'static str] = &[Self::TYPE, "bank.v1.AccountClosed"];
        fn encode(&self, _: &mut Vec<u8>) -> Result<(), es_core::error::EncodeError> {
            Ok(())
        }
        fn decode(_: &[u8]) -> Result<Self, es_core::error::DecodeError> {
            Ok(Self)
        }
    }
    es_core::HookBuilder::on::<Closed, _>(accounts(), |_, _, _| Ok(()))
}

fn changed(error: &Error) -> (Vec<&str>, Vec<&str>) {
    let Error::ProjectionChanged { name, added, removed } = error else { panic!("{error}") };
    assert_eq!(name, "balances");
    (added.iter().map(String::as_str).collect(), removed.iter().map(String::as_str).collect())
}

/// In the store's file and in a file of its own.
fn build(own_file: bool, builder: SqliteProjectionBuilder, path: &Path, store: &SqliteStore) -> SqliteProjection {
    let read = path.with_file_name("read.db");
    if own_file { builder.build_in(read, store).unwrap() } else { builder.build(store).unwrap() }
}

#[tokio::test]
async fn a_hook_added_or_removed_stops_the_projection_until_it_is_rebuilt() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = SqliteStore::open(&path).await.unwrap();
        open_account(&store, "a").await;
        deposit(&store, &[("a", 5)]).await;
        build(own_file, accounts(), &path, &store).catch_up().await.unwrap();

        let more = build(own_file, balances(), &path, &store);
        for _ in 0..2 {
            assert_eq!(changed(&more.catch_up().await.unwrap_err()), (vec![DEPOSITED], vec![]));
            assert_eq!(changed(&more.advance(&store, 0).await.unwrap_err()), (vec![DEPOSITED], vec![]));
        }
        assert_eq!(rows(&more).await, expected(&[("a", 0)]), "what is there can still be read");
        more.rebuild().await.unwrap();
        assert_eq!(rows(&more).await, expected(&[("a", 5)]));
        build(own_file, balances(), &path, &store).catch_up().await.unwrap();

        let fewer = build(own_file, accounts(), &path, &store);
        assert_eq!(changed(&fewer.catch_up().await.unwrap_err()), (vec![], vec![DEPOSITED]));
        fewer.reset().await.unwrap();
        fewer.catch_up().await.unwrap();
        assert_eq!(rows(&fewer).await, expected(&[("a", 0)]));
    }
}

#[tokio::test]
async fn all_names_of_an_event_count() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    let closed = vec![es_core::NewEvent::raw("bank.v1.AccountClosed", [])];
    commit(&store, es_core::Commit::append(stream("a"), es_core::Expected::Any, closed)).await.unwrap();
    accounts().build(&store).unwrap().catch_up().await.unwrap();
    let error = renamed().build(&store).unwrap().catch_up().await.unwrap_err();
    assert_eq!(changed(&error), (vec!["bank.v1.AccountClosed", "bank.v1.Closed"], vec![]));
    assert!(error.to_string().ends_with("call rebuild()"), "{error}");
}

#[tokio::test]
async fn a_projection_that_has_handled_nothing_takes_over_its_new_hooks() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let former = accounts().build(&store).unwrap();
    former.catch_up().await.unwrap();
    let projection = balances().build(&store).unwrap();
    open_account(&store, "a").await;
    deposit(&store, &[("a", 5)]).await;
    projection.catch_up().await.unwrap();
    assert_eq!(rows(&projection).await, expected(&[("a", 5)]));
    assert_eq!(changed(&former.catch_up().await.unwrap_err()), (vec![], vec![DEPOSITED]));
}

#[tokio::test]
async fn two_projections_of_one_name_with_different_hooks_are_noticed() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    let first = balances().build(&store).unwrap();
    first.catch_up().await.unwrap();
    let none = SqliteProjection::builder("balances").migration(TABLE).build(&store).unwrap();
    assert_eq!(changed(&none.catch_up().await.unwrap_err()), (vec![], vec![OPENED, DEPOSITED]));
    none.rebuild().await.unwrap();
    assert_eq!(changed(&first.catch_up().await.unwrap_err()), (vec![OPENED, DEPOSITED], vec![]));
}

#[tokio::test]
async fn a_runner_shows_that_the_hooks_have_changed() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    deposit(&store, &[("a", 5)]).await;
    accounts().build(&store).unwrap().catch_up().await.unwrap();
    let running = Runner::new(store.clone()).run(balances().build(&store).unwrap()).start().unwrap();
    let at_most = std::time::Duration::from_secs(10);
    assert!(running.wait_for_position("balances", 1, at_most).await.is_err());
    let State::Faulted(error) = running.status("balances").unwrap().state else { panic!("{running:?}") };
    assert_eq!(changed(&error), (vec![DEPOSITED], vec![]));
    running.shutdown().await;
}

#[tokio::test]
async fn hooks_for_events_that_were_never_recorded_are_added_without_a_rebuild() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = SqliteStore::open(&path).await.unwrap();
        open_account(&store, "a").await;
        let before = build(own_file, accounts(), &path, &store);
        before.catch_up().await.unwrap();

        let now = build(own_file, balances(), &path, &store);
        deposit(&store, &[("a", 5)]).await;
        // A program with the former hooks can't move over the new event.
        assert_eq!(changed(&before.catch_up().await.unwrap_err()), (vec![], vec![DEPOSITED]));
        now.catch_up().await.unwrap();
        assert_eq!(rows(&now).await, expected(&[("a", 5)]));
    }
}
