//! Read models kept in the append's own transaction.

mod support;

use es_core::{AppError, Commit, Error, EventLog, EventStore, Expected, Runner, Subscriber, runner::State};
use es_sqlite::{SqliteProjection, SqliteProjectionBuilder, SqliteStore};
use support::{
    AccountHooks, AccountOpened, MoneyDeposited, append, assert_sound,
    balances::{expected, rows},
    commit, deposit, folder, log, open_account, stream,
};

/// Balances that never fall below zero.
fn solvent() -> SqliteProjectionBuilder {
    SqliteProjection::builder("balances")
        .migration("CREATE TABLE balance (account_id TEXT PRIMARY KEY, cents INTEGER NOT NULL) STRICT")
        .on_account_opened(|tx, event: &AccountOpened, _| {
            tx.run("INSERT INTO balance VALUES (?1, 0)", [&event.account_id])
        })
        .on_money_deposited(|tx, event: &MoneyDeposited, _| {
            let sql = "UPDATE balance SET cents = cents + ?2 WHERE account_id = ?1";
            tx.execute(sql, (&event.account_id, event.cents))?;
            let cents: i64 =
                tx.query_row("SELECT cents FROM balance WHERE account_id = ?1", [&event.account_id], |row| row.get(0))?;
            if cents < 0 {
                return Err(AppError::failed_precondition("OVERDRAWN", "the balance would be below zero").into());
            }
            Ok(())
        })
}

fn deposited(id: &str, cents: i64) -> Commit {
    let event = MoneyDeposited { account_id: id.into(), cents }.new_event();
    Commit::append(stream(id), Expected::Any, vec![event])
}

#[tokio::test]
async fn a_read_right_after_an_append_sees_it() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let balances = solvent().build_inline(&store).unwrap();
    open_account(&store, "a").await;
    for round in 1..=50 {
        let head = deposit(&store, &[("a", 1)]).await.position;
        assert_eq!(rows(&balances).await, expected(&[("a", round)]));
        assert_eq!(balances.checkpoint(0).await.unwrap(), head);
    }
}

#[tokio::test]
async fn a_hook_that_fails_refuses_the_append_and_nothing_of_it_stays() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let balances = solvent().build_inline(&store).unwrap();
    open_account(&store, "a").await;
    let error = store.append(deposited("a", -1)).await.unwrap_err();
    assert!(matches!(error, Error::ProjectionFaulted { position: 2, .. }), "{error}");
    assert!(format!("{error:?}").contains("below zero"), "{error:?}");
    assert_eq!(store.head().await.unwrap(), 1);
    // A new stream and a new type in the refused commit, then others: SQLite hands out the same numbers again.
    let refused = deposited("a", -1).and(
        stream("ghost"),
        Expected::NoStream,
        vec![es_core::NewEvent::raw("bank.v1.Ghost", vec![1])],
    );
    store.append(refused).await.unwrap_err();
    append(&store, "b", 0).await;
    open_account(&store, "b").await;
    deposit(&store, &[("a", 7), ("b", 8)]).await;
    assert_eq!(rows(&balances).await, expected(&[("a", 7), ("b", 8)]));
    let log = log(&store).await;
    assert_sound(&log);
    let names: Vec<_> = log.iter().map(|event| (event.meta.stream.id.as_str(), &*event.meta.event_type)).collect();
    let (opened, deposited) = ("bank.v1.AccountOpened", "bank.v1.MoneyDeposited");
    assert_eq!(names, [("a", opened), ("b", opened), ("a", deposited), ("b", deposited)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_commits_that_share_a_transaction_only_the_refused_ones_fail() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let balances = solvent().build_inline(&store).unwrap();
    let tasks: Vec<_> = (0..32)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let id = format!("s{n:02}");
                open_account(&store, &id).await;
                for round in 0..20 {
                    let refused = round % 4 == n % 4;
                    let answer = store.append(deposited(&id, if refused { -1_000 } else { 1 })).await;
                    assert_eq!(answer.is_err(), refused, "{answer:?}");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let log = log(&store).await;
    assert_sound(&log);
    assert_eq!(log.len(), 32 * 16);
    let ids: Vec<_> = (0..32).map(|n| format!("s{n:02}")).collect();
    let all: Vec<_> = ids.iter().map(|id| (id.as_str(), 15)).collect();
    assert_eq!(rows(&balances).await, expected(&all));
    assert_eq!(balances.checkpoint(0).await.unwrap(), log.len() as u64);
}

#[tokio::test]
async fn a_little_behind_is_caught_up_on_the_way_and_far_behind_by_a_runner() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    for _ in 0..99 {
        deposit(&store, &[("a", 1)]).await;
    }
    let near = solvent().build_inline(&store).unwrap();
    deposit(&store, &[("a", 1)]).await;
    assert_eq!(rows(&near).await, expected(&[("a", 100)]));
    drop(near);
    for _ in 0..41 {
        let event = MoneyDeposited { account_id: "a".into(), cents: 1 }.new_event();
        commit(&store, Commit::append(stream("a"), Expected::Any, vec![event; 5])).await.unwrap();
    }
    let far = solvent().build_inline(&store).unwrap();
    deposit(&store, &[("a", 1)]).await;
    assert_eq!(rows(&far).await, expected(&[("a", 100)]), "the append did not wait for it");
    let running = Runner::new(store.clone()).run(far.clone()).start().unwrap();
    let head = store.head().await.unwrap();
    running.wait_for_position("balances", head, std::time::Duration::from_secs(10)).await.unwrap();
    assert_eq!(rows(&far).await, expected(&[("a", 306)]));
    deposit(&store, &[("a", 1)]).await;
    assert_eq!(rows(&far).await, expected(&[("a", 307)]), "and is inline again");
    running.shutdown().await;
}

#[tokio::test]
async fn an_earlier_event_that_fails_leaves_it_behind_and_refuses_nobody() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    store.append(deposited("a", -5)).await.unwrap();
    let balances = solvent().build_inline(&store).unwrap();
    for _ in 0..3 {
        deposit(&store, &[("a", 1)]).await;
    }
    assert_eq!(balances.checkpoint(0).await.unwrap(), 0);
    assert_eq!(rows(&balances).await, expected(&[]));
    let running = Runner::new(store.clone()).run(balances.clone()).start().unwrap();
    let error = running.wait_for_position("balances", 5, std::time::Duration::from_secs(10)).await.unwrap_err();
    assert!(matches!(error, Error::ProjectionFaulted { position: 2, .. }), "{error}");
    assert!(matches!(running.status("balances").unwrap().state, State::Faulted(_)));
    running.shutdown().await;
}

#[tokio::test]
async fn a_hook_that_ends_the_transaction_refuses_only_its_own_append() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let once = SqliteProjection::builder("once")
        .migration("CREATE TABLE once (cents INTEGER PRIMARY KEY ON CONFLICT ROLLBACK)")
        .on_money_deposited(|tx, event: &MoneyDeposited, _| tx.run("INSERT INTO once VALUES (?1)", [event.cents]))
        .build_inline(&store)
        .unwrap();
    store.append(deposited("a", 1)).await.unwrap();
    let (one, again, other) =
        tokio::join!(store.append(deposited("b", 2)), store.append(deposited("a", 1)), store.append(deposited("c", 3)));
    let error = again.unwrap_err();
    assert!(matches!(error, Error::ProjectionFaulted { .. }), "{error}");
    one.unwrap();
    other.unwrap();
    assert_eq!(store.head().await.unwrap(), 3);
    assert_eq!(once.checkpoint(0).await.unwrap(), 3);
}

#[tokio::test]
async fn without_a_handle_it_is_no_longer_kept() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    drop(solvent().build_inline(&store).unwrap());
    open_account(&store, "a").await;
    let later = solvent().build(&store).unwrap();
    assert_eq!(later.checkpoint(0).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rebuild_takes_nothing_away_that_an_append_has_shown() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let balances = solvent().build_inline(&store).unwrap();
    let appending: Vec<_> = ["a", "b", "c"]
        .map(|id| {
            let (store, balances) = (store.clone(), balances.clone());
            tokio::spawn(async move {
                open_account(&store, id).await;
                for round in 1..=150 {
                    deposit(&store, &[(id, 1)]).await;
                    assert_eq!(rows(&balances).await.get(id), Some(&round), "{id}");
                }
            })
        })
        .into_iter()
        .collect();
    let mut rebuilds = 0;
    while appending.iter().any(|task| !task.is_finished()) {
        balances.rebuild().await.unwrap();
        rebuilds += 1;
    }
    for task in appending {
        task.await.unwrap();
    }
    assert!(rebuilds > 0);
    assert_eq!(rows(&balances).await, expected(&[("a", 150), ("b", 150), ("c", 150)]));
}

#[tokio::test]
async fn an_inline_projection_has_one_partition_and_others_have_a_reasonable_number() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    for (built, why) in [
        (solvent().partitions(2).build_inline(&store), "can't have partitions"),
        (solvent().partitions(0).build(&store), "can't have 0 partitions"),
        (solvent().partitions(5_000).build(&store), "can't have 5000 partitions"),
    ] {
        let error = built.unwrap_err();
        assert!(matches!(error, Error::InvalidRequest { .. }) && error.to_string().contains(why), "{error}");
    }
}
