//! Projections in several partitions: order within each aggregate, and nothing lost or repeated when their number changes.

mod support;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use es_core::{Error, ManualClock, Progress, Subscriber, Timestamp, partition_of};
use es_sqlite::{OnFailure, SqliteProjection, SqliteProjectionBuilder, SqliteStore};
use support::{AccountHooks, deposit, folder, open_account, stream};

/// A projection that lists the events it has handled, in order.
fn journal(partitions: u32) -> SqliteProjectionBuilder {
    let insert = "INSERT INTO journal (account, position) VALUES (?1, ?2)";
    SqliteProjection::builder("journal")
        .migration("CREATE TABLE journal (n INTEGER PRIMARY KEY, account TEXT, position INTEGER) STRICT")
        .on_account_opened(move |tx, event, meta| tx.run(insert, (&event.account_id, meta.position)))
        .on_money_deposited(move |tx, event, meta| tx.run(insert, (&event.account_id, meta.position)))
        .partitions(partitions)
}

fn build(own_file: bool, builder: SqliteProjectionBuilder, path: &Path, store: &SqliteStore) -> SqliteProjection {
    let read = path.with_file_name("read.db");
    if own_file { builder.build_in(read, store).unwrap() } else { builder.build(store).unwrap() }
}

/// The positions handled for each account, in the order they were handled.
async fn handled(projection: &SqliteProjection) -> BTreeMap<String, Vec<u64>> {
    let read = projection.query(|tx| {
        tx.query("SELECT account, position FROM journal ORDER BY n", (), |row| Ok((row.get(0)?, row.get(1)?)))
    });
    let mut handled = BTreeMap::<String, Vec<u64>>::new();
    for (account, position) in read.await.unwrap() {
        handled.entry(account).or_default().push(position);
    }
    handled
}

/// What was recorded of each account.
async fn recorded(store: &SqliteStore) -> BTreeMap<String, Vec<u64>> {
    let mut recorded = BTreeMap::<String, Vec<u64>>::new();
    for event in support::log(store).await {
        recorded.entry(event.meta.stream.id.to_string()).or_default().push(event.meta.position);
    }
    recorded
}

fn accounts() -> impl Iterator<Item = String> {
    (0..20).map(|n| format!("acc-{n}"))
}

async fn deposit_into_all(store: &SqliteStore) {
    for id in accounts() {
        deposit(store, &[(&id, 1)]).await;
    }
}

async fn twenty_accounts(path: &Path) -> SqliteStore {
    let store = SqliteStore::open(path).await.unwrap();
    for id in accounts() {
        open_account(&store, &id).await;
    }
    deposit_into_all(&store).await;
    store
}

#[tokio::test]
async fn of_twenty_aggregates_over_four_partitions_each_event_is_handled_once_and_in_order() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = twenty_accounts(&path).await;
        let projection = build(own_file, journal(4), &path, &store);
        assert_eq!(projection.partitions(), 4);
        for partition in (0..4).rev() {
            let progress = projection.advance(&store, partition).await.unwrap();
            assert_eq!((progress.checkpoint, progress.caught_up), (40, true));
            let own = accounts().filter(|id| partition_of(id, 4) == partition).count() as u64;
            assert_eq!(progress.handled, 2 * own);
            assert!(own > 0, "the accounts of the test are spread over all partitions");
            assert_eq!(projection.status().await.unwrap().checkpoint, if partition == 0 { 40 } else { 0 });
        }
        assert_eq!(handled(&projection).await, recorded(&store).await);
        let error = projection.advance(&store, 4).await.unwrap_err();
        assert!(error.to_string().contains("has 4 partitions, there is no number 4"), "{error}");
    }
}

#[tokio::test]
async fn the_number_of_partitions_can_be_changed_in_mid_stream() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = twenty_accounts(&path).await;
        let one = build(own_file, journal(1), &path, &store);
        one.catch_up().await.unwrap();
        drop(one);
        deposit_into_all(&store).await;

        // The partitions are left at different positions: 60, 80, 40, 40.
        let four = build(own_file, journal(4), &path, &store);
        let step = |partition| four.advance(&store, partition);
        assert_eq!(step(0).await.unwrap(), Progress::at(40), "the partitions are changed first");
        step(0).await.unwrap();
        deposit_into_all(&store).await;
        step(1).await.unwrap();
        let mut positions = Vec::new();
        for partition in 0..4 {
            positions.push(four.checkpoint(partition).await.unwrap());
        }
        assert_eq!(positions, [60, 80, 40, 40]);
        drop(four);

        let two = build(own_file, journal(2), &path, &store);
        assert_eq!(two.checkpoint(0).await.unwrap(), 40);
        deposit_into_all(&store).await;
        // Those behind are brought to where the foremost is, and no further.
        for step in ["the third", "the fourth", "the first", "their number"] {
            let progress = two.advance(&store, 0).await.unwrap();
            assert_eq!((progress.checkpoint, progress.caught_up), (80, false), "{step}");
        }
        assert_eq!(two.catch_up().await.unwrap(), 100);
        assert_eq!(handled(&two).await, recorded(&store).await);
        drop(two);

        let one = build(own_file, journal(1), &path, &store);
        deposit_into_all(&store).await;
        assert_eq!(one.catch_up().await.unwrap(), 120);
        assert_eq!(handled(&one).await, recorded(&store).await);
    }
}

#[tokio::test]
async fn a_projection_that_has_handled_nothing_takes_any_number() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    for partitions in [3, 1, 5] {
        let projection = journal(partitions).build(&store).unwrap();
        assert_eq!(projection.catch_up().await.unwrap(), 0);
        assert_eq!(projection.partitions(), partitions);
    }
}

#[tokio::test]
async fn a_reset_covers_all_partitions() {
    let (_folder, path) = folder();
    let store = twenty_accounts(&path).await;
    let projection = journal(3).build(&store).unwrap();
    projection.catch_up().await.unwrap();
    projection.reset().await.unwrap();
    for partition in 0..3 {
        assert_eq!(projection.checkpoint(partition).await.unwrap(), 0);
    }
    assert_eq!(projection.catch_up().await.unwrap(), 40);
    assert_eq!(handled(&projection).await, recorded(&store).await);
}

#[tokio::test]
async fn two_processes_share_the_partitions_and_one_takes_over_those_of_the_other() {
    let (_folder, path) = folder();
    twenty_accounts(&path).await.shutdown().await.unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_900_000_000_000_000)));
    let open = || SqliteStore::builder(&path).clock(Arc::clone(&clock)).open();
    let (one, two) = (open().await.unwrap(), open().await.unwrap());
    let (first, second) = (journal(4).build(&one).unwrap(), journal(4).build(&two).unwrap());
    for (projection, store, partitions) in [(&first, &one, [0, 1]), (&second, &two, [2, 3])] {
        for partition in partitions {
            assert!(projection.advance(store, partition).await.unwrap().caught_up);
        }
    }
    deposit_into_all(&one).await;
    for partition in 0..4 {
        assert_eq!(first.advance(&one, partition).await.unwrap().standby, partition >= 2);
        assert_eq!(second.advance(&two, partition).await.unwrap().standby, partition < 2);
    }
    deposit_into_all(&one).await;
    clock.advance(Duration::from_secs(10));
    assert_eq!(second.catch_up().await.unwrap(), 80);
    assert_eq!(handled(&first).await, recorded(&one).await);
}

#[tokio::test]
async fn the_number_is_not_changed_while_another_process_owns_a_partition() {
    let (_folder, path) = folder();
    twenty_accounts(&path).await.shutdown().await.unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_900_000_000_000_000)));
    let open = || SqliteStore::builder(&path).clock(Arc::clone(&clock)).open();
    let (one, two) = (open().await.unwrap(), open().await.unwrap());
    let former = journal(2).build(&one).unwrap();
    assert!(former.advance(&one, 1).await.unwrap().caught_up);
    let changed = journal(3).build(&two).unwrap();
    for partition in 0..3 {
        assert_eq!(changed.advance(&two, partition).await.unwrap(), Progress::at(0).standby());
    }
    former.release_lease().await.unwrap();
    assert_eq!(changed.catch_up().await.unwrap(), 40);
    assert_eq!(handled(&changed).await, recorded(&one).await);
}

#[tokio::test]
async fn parked_aggregates_stay_parked_when_the_number_changes() {
    let (_folder, path) = folder();
    let store = twenty_accounts(&path).await;
    let poison = |partitions| {
        let insert = "INSERT INTO journal (account, position) VALUES (?1, ?2)";
        SqliteProjection::builder("journal")
            .migration("CREATE TABLE journal (n INTEGER PRIMARY KEY, account TEXT, position INTEGER) STRICT")
            .on_account_opened(move |tx, event, meta| {
                if event.account_id == "acc-7" {
                    return Err("not this one".into());
                }
                tx.run(insert, (&event.account_id, meta.position))
            })
            .on_money_deposited(move |tx, event, meta| tx.run(insert, (&event.account_id, meta.position)))
            .on_failure(OnFailure::ParkAggregate)
            .retries(0)
            .partitions(partitions)
    };
    poison(1).build(&store).unwrap().catch_up().await.unwrap();
    deposit_into_all(&store).await;
    let projection = poison(4).build(&store).unwrap();
    projection.catch_up().await.unwrap();
    let parked: Vec<_> = projection.parked().await.unwrap().iter().map(|event| event.position).collect();
    assert_eq!(parked, [8, 28, 48]);
    let cured = journal(4).build(&store).unwrap();
    assert_eq!(cured.release(&stream("acc-7")).await.unwrap(), 3);
    assert_eq!(handled(&cured).await, recorded(&store).await);
}

#[tokio::test]
async fn an_event_is_passed_over_in_its_own_partition() {
    let (_folder, path) = folder();
    let store = twenty_accounts(&path).await;
    let projection = journal(4).build(&store).unwrap();
    let of_first = partition_of("acc-0", 4);
    projection.advance(&store, of_first).await.unwrap();
    let error = projection.skip(1).await.unwrap_err();
    assert!(matches!(error, Error::InvalidRequest { .. }), "{error}");
    let other = accounts().position(|id| partition_of(&id, 4) != of_first).unwrap() as u64 + 1;
    projection.skip(other).await.unwrap();
    projection.catch_up().await.unwrap();
    let all: usize = handled(&projection).await.values().map(Vec::len).sum();
    assert_eq!(all, 39);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_are_run_at_once_and_repartitioned_at_once_lose_nothing() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = twenty_accounts(&path).await;
        for partitions in [4, 3, 5] {
            let projection = build(own_file, journal(partitions), &path, &store);
            let tasks: Vec<_> = (0..partitions)
                .map(|partition| {
                    let (projection, store) = (projection.clone(), store.clone());
                    tokio::spawn(async move {
                        loop {
                            match projection.advance(&store, partition).await {
                                Ok(progress) if progress.caught_up => return,
                                Ok(_) | Err(Error::CheckpointMoved { .. }) => {}
                                Err(error) => panic!("{error}"),
                            }
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            assert_eq!(handled(&projection).await, recorded(&store).await);
            projection.release_lease().await.unwrap();
            deposit_into_all(&store).await;
        }
    }
}
