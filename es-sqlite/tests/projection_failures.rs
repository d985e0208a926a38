//! Events that a hook refuses: tried again, halted at, parked with their aggregate, or passed over.

mod support;

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, Mutex},
};

use es_core::{AppError, Commit, Error, EventStore, Expected, NewEvent, Subscriber};
use es_sqlite::{HookResult, OnFailure, ParkedEvent, SqliteProjection, SqliteProjectionBuilder, SqliteStore};
use support::{AccountHooks, AccountOpened, MoneyDeposited, commit, deposit, folder, open_account, stream};

/// What the hooks of a test do: refuse some positions, and write down what they were called for.
#[derive(Clone, Default)]
struct Script {
    refused: Arc<Mutex<HashSet<u64>>>,
    called: Arc<Mutex<Vec<u64>>>,
}

impl Script {
    fn refusing(positions: impl IntoIterator<Item = u64>) -> Self {
        Self { refused: Arc::new(Mutex::new(positions.into_iter().collect())), called: Arc::default() }
    }

    fn refuse(&self, positions: impl IntoIterator<Item = u64>) {
        *self.refused.lock().unwrap() = positions.into_iter().collect();
    }

    fn called(&self) -> Vec<u64> {
        std::mem::take(&mut self.called.lock().unwrap())
    }

    fn run(&self, position: u64, error: fn() -> HookResult) -> HookResult {
        self.called.lock().unwrap().push(position);
        if self.refused.lock().unwrap().contains(&position) { error() } else { Ok(()) }
    }

    /// A projection that lists the positions it has handled, in order.
    fn projection(&self, error: fn() -> HookResult) -> SqliteProjectionBuilder {
        let (opened, deposited) = (self.clone(), self.clone());
        let insert = "INSERT INTO handled (position, account) VALUES (?1, ?2)";
        SqliteProjection::builder("p")
            .migration("CREATE TABLE handled (n INTEGER PRIMARY KEY, position INTEGER, account TEXT) STRICT")
            .on_account_opened(move |tx, event, meta| {
                tx.execute(insert, (meta.position, &event.account_id))?;
                opened.run(meta.position, error)
            })
            .on_money_deposited(move |tx, event, meta| {
                tx.execute(insert, (meta.position, &event.account_id))?;
                deposited.run(meta.position, error)
            })
    }
}

fn permanent() -> HookResult {
    Err(AppError::failed_precondition("CLOSED", "the account is closed").into())
}

fn passing() -> HookResult {
    Err("the exchange rate is not there yet".into())
}

/// The positions in the order they were handled.
async fn handled(projection: &SqliteProjection) -> Vec<u64> {
    projection.query(|tx| tx.query("SELECT position FROM handled ORDER BY n", (), |row| row.get(0))).await.unwrap()
}

fn positions(parked: &[ParkedEvent]) -> Vec<u64> {
    parked.iter().map(|event| event.position).collect()
}

fn build(own_file: bool, builder: SqliteProjectionBuilder, path: &Path, store: &SqliteStore) -> SqliteProjection {
    let read = path.with_file_name("read.db");
    if own_file { builder.build_in(read, store).unwrap() } else { builder.build(store).unwrap() }
}

/// Accounts a, b and c at 1 to 3, then deposits in turn: a at 4, 7, 10; b at 5, 8, 11; c at 6, 9, 12.
async fn three_accounts(path: &Path) -> SqliteStore {
    let store = SqliteStore::open(path).await.unwrap();
    for id in ["a", "b", "c"] {
        open_account(&store, id).await;
    }
    for _ in 0..3 {
        for id in ["a", "b", "c"] {
            deposit(&store, &[(id, 1)]).await;
        }
    }
    store
}

fn fault(error: Error) -> u64 {
    let Error::ProjectionFaulted { position, .. } = error else { panic!("{error}") };
    position
}

#[tokio::test]
async fn failing_on_the_11th_of_20_events_it_resumes_at_11() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = SqliteStore::open(&path).await.unwrap();
        open_account(&store, "a").await;
        for _ in 0..19 {
            deposit(&store, &[("a", 1)]).await;
        }
        let script = Script::refusing([11]);
        let projection = build(own_file, script.projection(permanent), &path, &store);
        for _ in 0..2 {
            assert_eq!(fault(projection.catch_up().await.unwrap_err()), 11);
            assert_eq!(projection.checkpoint(0).await.unwrap(), 10);
        }
        script.refuse([]);
        script.called();
        projection.catch_up().await.unwrap();
        assert_eq!(script.called(), Vec::from_iter(11..=20));
        assert_eq!(handled(&projection).await, Vec::from_iter(1..=20));
    }
}

#[tokio::test]
async fn an_error_that_may_pass_is_tried_again_and_one_that_can_not_is_not() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    for (error, retries, calls) in
        [(passing as fn() -> HookResult, 3, 4), (passing, 0, 1), (permanent, 3, 1), (|| panic!("on purpose"), 3, 1)]
    {
        let script = Script::refusing([1]);
        let projection = script.projection(error).retries(retries).build(&store).unwrap();
        assert_eq!(fault(projection.catch_up().await.unwrap_err()), 1);
        assert_eq!(script.called().len(), calls);
    }
    // The second retry comes through.
    let tries = Arc::new(Mutex::new(0));
    let projection = SqliteProjection::builder("q")
        .on_account_opened(move |_, _, _| {
            let mut tries = tries.lock().unwrap();
            *tries += 1;
            if *tries < 3 { passing() } else { Ok(()) }
        })
        .build(&store)
        .unwrap();
    assert_eq!(projection.catch_up().await.unwrap(), 1);
}

#[tokio::test]
async fn a_failing_event_and_the_later_ones_of_its_aggregate_are_parked_in_order_and_the_others_go_on() {
    for (own_file, error) in [(false, permanent as fn() -> HookResult), (true, passing)] {
        let (_folder, path) = folder();
        let store = three_accounts(&path).await;
        let script = Script::refusing([5]);
        let builder = script.projection(error).on_failure(OnFailure::ParkAggregate).retries(1);
        let projection = build(own_file, builder, &path, &store);
        assert_eq!(projection.catch_up().await.unwrap(), 12);
        assert_eq!(handled(&projection).await, [1, 2, 3, 4, 6, 7, 9, 10, 12], "nothing of the failed one is left");

        let parked = projection.parked().await.unwrap();
        assert_eq!(positions(&parked), [5, 8, 11]);
        assert!(parked.iter().all(|event| event.stream == stream("b")));
        assert!(parked[0].error.as_ref().unwrap().contains("the "), "{parked:?}");
        assert_eq!(parked[0].attempts, 2);
        assert!(parked[1..].iter().all(|event| event.error.is_none() && event.attempts == 0));
        let status = projection.status().await.unwrap();
        assert_eq!((status.checkpoint, status.parked, status.skipped), (12, 3, 0));

        // Still parked for a program with another policy, in another page.
        deposit(&store, &[("b", 1), ("a", 1)]).await;
        drop(projection);
        let projection = build(own_file, script.projection(error), &path, &store);
        projection.catch_up().await.unwrap();
        assert_eq!(positions(&projection.parked().await.unwrap()), [5, 8, 11, 13]);
        assert_eq!(handled(&projection).await.last(), Some(&14));

        script.refuse([]);
        script.called();
        assert_eq!(projection.release(&stream("a")).await.unwrap(), 0, "nothing of this one is parked");
        assert_eq!(projection.release(&stream("b")).await.unwrap(), 4);
        assert_eq!(script.called(), [5, 8, 11, 13]);
        assert_eq!(projection.parked().await.unwrap(), []);
        deposit(&store, &[("b", 1)]).await;
        projection.catch_up().await.unwrap();
        assert_eq!(handled(&projection).await[9..], [14, 5, 8, 11, 13, 15]);
    }
}

#[tokio::test]
async fn a_release_stops_at_the_first_event_that_fails_again() {
    let (_folder, path) = folder();
    let store = three_accounts(&path).await;
    let script = Script::refusing([5, 6]);
    let projection = script.projection(permanent).on_failure(OnFailure::ParkAggregate).build(&store).unwrap();
    projection.catch_up().await.unwrap();
    assert_eq!(positions(&projection.parked().await.unwrap()), [5, 6, 8, 9, 11, 12]);

    script.refuse([8]);
    assert_eq!(fault(projection.release(&stream("b")).await.unwrap_err()), 8);
    let parked = projection.parked().await.unwrap();
    assert_eq!(positions(&parked), [6, 8, 9, 11, 12]);
    assert_eq!((parked[1].attempts, parked[1].error.is_some()), (1, true));
    // The others are released all the same.
    assert_eq!(fault(projection.release_all().await.unwrap_err()), 8);
    let parked = projection.parked().await.unwrap();
    assert_eq!((positions(&parked), parked[0].attempts), (vec![8, 11], 2));
    script.refuse([]);
    assert_eq!(projection.release_all().await.unwrap(), 2);
    assert_eq!(handled(&projection).await, [1, 2, 3, 4, 7, 10, 5, 6, 9, 12, 8, 11]);
}

#[tokio::test]
async fn what_fails_is_passed_over_and_noted() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = three_accounts(&path).await;
        let script = Script::refusing([2, 5, 12]);
        let builder = script.projection(passing).on_failure(OnFailure::Skip).retries(2);
        let projection = build(own_file, builder, &path, &store);
        assert_eq!(projection.catch_up().await.unwrap(), 12);
        assert_eq!(handled(&projection).await, [1, 3, 4, 6, 7, 8, 9, 10, 11]);
        let skipped = projection.skipped().await.unwrap();
        assert_eq!(positions(&skipped), [2, 5, 12]);
        assert!(skipped.iter().all(|event| event.error.as_deref() == Some("the exchange rate is not there yet")));
        assert_eq!(skipped.iter().map(|event| event.attempts).collect::<Vec<_>>(), [3, 2, 2]);
        assert_eq!(projection.parked().await.unwrap(), []);
    }
}

#[tokio::test]
async fn only_the_failing_event_of_a_commit_is_left_out() {
    let (_folder, path) = folder();
    let store = three_accounts(&path).await;
    deposit(&store, &[("a", 1), ("b", 1), ("c", 1)]).await;
    for (name, policy) in [("one.db", OnFailure::Skip), ("two.db", OnFailure::ParkAggregate)] {
        let script = Script::refusing([14]);
        let builder = script.projection(permanent).on_failure(policy);
        let projection = builder.build_in(path.with_file_name(name), &store).unwrap();
        projection.catch_up().await.unwrap();
        assert_eq!(handled(&projection).await, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15]);
    }
}

#[tokio::test]
async fn a_halted_projection_can_be_told_to_pass_over_an_event() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = three_accounts(&path).await;
        let other = NewEvent::raw("bank.v1.Other", b"");
        commit(&store, Commit::append(stream("a"), Expected::Any, vec![other])).await.unwrap();
        let script = Script::refusing([5]);
        let projection = build(own_file, script.projection(permanent), &path, &store);
        assert_eq!(fault(projection.catch_up().await.unwrap_err()), 5);
        for (position, why) in [
            (4, "has handled that already"),
            (13, "has no hook for that event"),
            (99, "there is no event"),
            (0, "no event"),
        ] {
            let error = projection.skip(position).await.unwrap_err();
            assert!(matches!(&error, Error::InvalidRequest { .. }), "{error}");
            assert!(error.to_string().contains(why), "{error}");
        }
        for _ in 0..2 {
            projection.skip(5).await.unwrap();
        }
        projection.catch_up().await.unwrap();
        assert_eq!(handled(&projection).await, [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]);
        let skipped = projection.skipped().await.unwrap();
        assert_eq!((positions(&skipped), skipped[0].attempts, &skipped[0].error), (vec![5], 0, &None));
    }
}

#[tokio::test]
async fn a_parked_event_can_be_passed_over_and_those_behind_it_released() {
    let (_folder, path) = folder();
    let store = three_accounts(&path).await;
    let script = Script::refusing([5]);
    let projection = script.projection(permanent).on_failure(OnFailure::ParkAggregate).build(&store).unwrap();
    projection.catch_up().await.unwrap();
    projection.skip(5).await.unwrap();
    assert_eq!(positions(&projection.parked().await.unwrap()), [8, 11]);
    assert_eq!(projection.release(&stream("b")).await.unwrap(), 2);
    assert_eq!(positions(&projection.skipped().await.unwrap()), [5]);
    assert_eq!(handled(&projection).await[9..], [8, 11]);
}

#[tokio::test]
async fn a_rebuild_tries_what_was_parked_and_passes_over_what_was_skipped_and_a_reset_forgets_both() {
    let (_folder, path) = folder();
    let store = three_accounts(&path).await;
    let script = Script::refusing([5, 6]);
    let projection = script.projection(permanent).on_failure(OnFailure::ParkAggregate).build(&store).unwrap();
    projection.catch_up().await.unwrap();
    projection.skip(6).await.unwrap();
    script.refuse([]);
    let noted = async || {
        let status = projection.status().await.unwrap();
        (status.parked, status.skipped)
    };
    projection.rebuild().await.unwrap();
    assert_eq!(handled(&projection).await, Vec::from_iter((1..=12).filter(|position| *position != 6)));
    assert_eq!(noted().await, (0, 1));
    projection.reset().await.unwrap();
    projection.catch_up().await.unwrap();
    assert_eq!(handled(&projection).await, Vec::from_iter(1..=12));
    assert_eq!(noted().await, (0, 0));
}

#[tokio::test]
async fn an_event_that_panics_is_damaged_or_ends_the_transaction_is_parked_too() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = SqliteStore::open(&path).await.unwrap();
        let damaged = NewEvent::raw("bank.v1.AccountOpened", vec![0xff]);
        commit(&store, Commit::append(stream("damaged"), Expected::Any, vec![damaged])).await.unwrap();
        for id in ["a", "panic", "rollback", "quiet rollback", "b"] {
            let opened = AccountOpened { account_id: id.into() };
            let key = stream(&id.replace(' ', "-"));
            commit(&store, Commit::append(key, Expected::NoStream, vec![opened.new_event()])).await.unwrap();
        }
        let builder = SqliteProjection::builder("p")
            .migration("CREATE TABLE handled (n INTEGER PRIMARY KEY, position INTEGER UNIQUE) STRICT")
            .on_account_opened(|tx, event, meta| {
                tx.execute("INSERT INTO handled (position) VALUES (?1)", [meta.position])?;
                let ending = "INSERT OR ROLLBACK INTO handled (position) VALUES (?1)";
                match event.account_id.as_str() {
                    "panic" => panic!("on purpose"),
                    "rollback" => tx.run(ending, [meta.position]),
                    "quiet rollback" => {
                        let _ = tx.execute(ending, [meta.position]);
                        Ok(())
                    }
                    _ => Ok(()),
                }
            })
            .on_failure(OnFailure::ParkAggregate)
            .retries(1);
        let projection = build(own_file, builder, &path, &store);
        assert_eq!(projection.catch_up().await.unwrap(), 6);
        assert_eq!(handled(&projection).await, [2, 6]);
        let parked = projection.parked().await.unwrap();
        assert_eq!(positions(&parked), [1, 3, 4, 5]);
        assert!(parked[3].error.as_deref().unwrap().contains("ended the transaction"), "{parked:?}");
    }
}

#[tokio::test]
async fn tenants_are_parked_apart() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let of = |tenant: &str| {
        let tenant = es_core::Tenant::new(tenant).unwrap();
        es_core::StreamKey { tenant: Some(tenant), ..stream("a") }
    };
    for tenant in ["one", "two"] {
        let deposited = MoneyDeposited { account_id: "a".into(), cents: 1 }.new_event();
        let commit = Commit::append(of(tenant), Expected::Any, vec![deposited.clone(), deposited]);
        store.append(commit).await.unwrap();
    }
    let script = Script::refusing([1]);
    let projection = script.projection(permanent).on_failure(OnFailure::ParkAggregate).build(&store).unwrap();
    projection.catch_up().await.unwrap();
    let parked = projection.parked().await.unwrap();
    assert_eq!(positions(&parked), [1, 2]);
    assert!(parked.iter().all(|event| event.stream == of("one")));
    script.refuse([]);
    assert_eq!(projection.release(&of("two")).await.unwrap(), 0);
    assert_eq!(projection.release(&of("one")).await.unwrap(), 2);
}
