//! Loading, saving and deciding on aggregates.

mod domain;

use std::time::Duration;

use domain::{Account, AccountEvent, Cursed, deposited, opened};
use es_core::{
    AggregateId, AppError, At, Commit, Error, EventStore, Expected, Limits, ManualClock, MemoryStore, NewEvent,
    Repository, Retry, SnapshotPolicy, StreamKey, Tenant, Timestamp,
};
use proptest::prelude::*;

fn accounts() -> Repository<Account> {
    Repository::new(MemoryStore::new())
}

fn stream(id: &str) -> StreamKey {
    StreamKey::of::<Account>(AggregateId::new(id).unwrap())
}

async fn put(store: &impl EventStore, id: &str, event: NewEvent) {
    store.append(Commit::append(stream(id), Expected::Any, vec![event])).await.unwrap();
}

#[tokio::test]
async fn what_is_saved_is_loaded() {
    let accounts = accounts();
    let mut account = accounts.load("a").await.unwrap();
    assert!(!account.exists() && !accounts.exists("a").await.unwrap());
    account.emit(opened("Ada"));
    account.emit(deposited(5));
    assert_eq!((account.version(), account.committed_version(), account.cents), (2, 0, 5));
    let receipt = accounts.save(&mut account).await.unwrap();
    assert_eq!((receipt.version, receipt.position, receipt.replayed), (2, 2, false));
    assert!(account.emitted().is_empty());

    account.emit(deposited(2));
    accounts.save(&mut account).await.unwrap();
    let loaded = accounts.load("a").await.unwrap();
    assert_eq!((loaded.state(), loaded.version()), (&Account { owner: "Ada".into(), cents: 7 }, 3));
    assert!(accounts.exists("a").await.unwrap());
}

#[tokio::test]
async fn saving_nothing_writes_nothing() {
    let accounts = accounts();
    let receipt = accounts.save(&mut accounts.load("a").await.unwrap()).await.unwrap();
    assert_eq!((receipt.version, receipt.position), (0, 0));
    assert!(!accounts.exists("a").await.unwrap());
}

#[tokio::test]
async fn of_two_that_loaded_the_same_version_the_second_to_save_conflicts_and_keeps_its_events() {
    let accounts = accounts();
    let (mut one, mut other) = (accounts.load("a").await.unwrap(), accounts.load("a").await.unwrap());
    one.emit(opened("Ada"));
    other.emit(opened("Bob"));
    accounts.save(&mut one).await.unwrap();
    let error = accounts.save(&mut other).await.unwrap_err();
    assert_eq!(error.to_string(), "conflict on test.v1.Account/a: expected version 0, found version 1");
    assert_eq!(error.retry(), Retry::Safe);
    assert_eq!(other.emitted(), [AccountEvent::Opened(opened("Bob"))]);
}

#[tokio::test]
async fn a_decision_that_meets_a_conflict_is_made_again_on_fresh_state() {
    let accounts = accounts();
    let mut tries = 0;
    let reply = accounts
        .execute("a", |account| {
            tries += 1;
            if tries < 3 {
                // Someone else writes between our load and our save.
                futures_util::FutureExt::now_or_never(put(
                    accounts.store(),
                    "a",
                    NewEvent::encode(&AccountEvent::Deposited(deposited(10))).unwrap(),
                ));
            }
            account.emit(deposited(1));
            Ok(account.cents)
        })
        .await
        .unwrap();
    assert_eq!((*reply, reply.receipt().version, tries), (21, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn after_eight_conflicts_the_conflict_is_reported() {
    let accounts = accounts();
    let mut tries = 0;
    let error = accounts
        .execute("a", |account| {
            tries += 1;
            let event = NewEvent::encode(&AccountEvent::Deposited(deposited(10))).unwrap();
            futures_util::FutureExt::now_or_never(put(accounts.store(), "a", event));
            account.emit(deposited(1));
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error}");
    assert_eq!(tries, 8);
}

#[tokio::test]
async fn a_refusal_comes_back_typed_and_stores_nothing() {
    let accounts = accounts();
    let refuse = |account: &mut es_core::Root<Account>| {
        account.emit(opened("Ada"));
        Err::<(), _>(AppError::failed_precondition("NO", "not today"))
    };
    let error = accounts.execute("a", refuse).await.unwrap_err();
    assert!(matches!(&error, Error::Rejected(refusal) if refusal.code() == "NO"), "{error}");
    assert!(!accounts.exists("a").await.unwrap());
}

#[tokio::test]
async fn a_panic_in_a_decision_or_a_handler_is_an_error_and_the_rest_goes_on() {
    let accounts = accounts();
    let error = accounts.execute("a", |_| -> Result<(), AppError> { panic!("on purpose") }).await.unwrap_err();
    assert_eq!(error.to_string(), "a decision on `test.v1.Account` panicked");
    put(accounts.store(), "cursed", NewEvent::encode(&AccountEvent::Cursed(Cursed {})).unwrap()).await;
    let error = accounts.load("cursed").await.unwrap_err();
    assert_eq!(error.to_string(), "the handler of `test.v1.Account` for event `test.v1.Cursed` panicked");
    accounts
        .execute("a", |account| {
            account.emit(opened("Ada"));
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn an_unknown_or_undecodable_event_is_named_and_never_becomes_a_default() {
    let accounts = accounts();
    put(accounts.store(), "unknown", NewEvent::raw("test.v1.Vanished", "{}")).await;
    let error = accounts.load("unknown").await.unwrap_err();
    let expected = "test.v1.Account/unknown has an event of unknown type `test.v1.Vanished` at position 1";
    assert_eq!(error.to_string(), expected);

    let mut broken = NewEvent::encode(&AccountEvent::Deposited(deposited(10))).unwrap();
    broken.payload.truncate(3);
    put(accounts.store(), "broken", broken).await;
    let error = accounts.load("broken").await.unwrap_err();
    let expected = "cannot decode event `test.v1.Deposited` of test.v1.Account/broken at position 2";
    assert_eq!(error.to_string(), expected);

    put(accounts.store(), "encoding", NewEvent::raw("test.v1.Deposited", r#"{"cents":1}"#)).await;
    let error = accounts.load("encoding").await.unwrap_err();
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "encoded as Protobuf, expected Json");
    assert_eq!(error.retry(), Retry::Never);
}

#[tokio::test]
async fn an_aggregate_is_seen_as_it_was_at_a_version_or_an_instant() {
    let clock = std::sync::Arc::new(ManualClock::at(Timestamp::from_micros(1_000_000)));
    let accounts = Repository::<Account>::new(MemoryStore::with(Limits::default(), clock.clone()));
    for _ in 0..3 {
        accounts
            .execute("a", |account| {
                account.emit(deposited(1));
                Ok(())
            })
            .await
            .unwrap();
        clock.advance(Duration::from_secs(1));
    }
    let seen = |at| {
        let accounts = accounts.clone();
        async move { accounts.load_at("a", at).await.unwrap().version() }
    };
    assert_eq!(seen(At::Version(0)).await, 0);
    assert_eq!(seen(At::Version(2)).await, 2);
    assert_eq!(seen(At::Version(99)).await, 3);
    assert_eq!(seen(At::Time(Timestamp::from_micros(999_999))).await, 0);
    assert_eq!(seen(At::Time(Timestamp::from_micros(2_000_000))).await, 2);
}

#[tokio::test]
async fn bad_ids_are_refused_wherever_an_id_is_taken() {
    let accounts = accounts();
    for id in ["", "a b", "a\0", "a\n", &"x".repeat(257)] {
        let expected =
            |error: Error| assert!(matches!(error, Error::InvalidId { .. } | Error::TooLarge { .. }), "{error}");
        expected(accounts.load(id).await.unwrap_err());
        expected(accounts.load_at(id, At::Version(1)).await.unwrap_err());
        expected(accounts.exists(id).await.unwrap_err());
        expected(accounts.execute(id, |_| Ok(())).await.unwrap_err());
    }
}

#[tokio::test]
async fn a_claim_without_an_event_is_refused_with_the_remedy() {
    let accounts = accounts();
    let mut account = accounts.load("a").await.unwrap();
    account.claim("owner", "Ada");
    let error = accounts.save(&mut account).await.unwrap_err();
    let expected = "invalid request: test.v1.Account/a claims `owner` without an event; a unique key is stored with an \
                    event, so emit one";
    assert_eq!(error.to_string(), expected);
    account.emit(opened("Ada"));
    accounts.save(&mut account).await.unwrap();
    let holder = accounts.store().claimant(None, "owner", "Ada").await.unwrap();
    assert_eq!(holder, Some(stream("a")));
}

#[tokio::test]
async fn a_tenant_s_repository_reaches_its_own_aggregates_only() {
    let accounts = accounts();
    let of_tenant = accounts.clone().tenant(Tenant::new("t1").unwrap());
    of_tenant
        .execute("a", |account| {
            account.emit(opened("Ada"));
            Ok(())
        })
        .await
        .unwrap();
    assert!(of_tenant.exists("a").await.unwrap());
    assert!(!accounts.exists("a").await.unwrap());
}

#[tokio::test]
async fn a_snapshot_is_made_each_time_a_multiple_is_crossed_and_shortens_the_next_load() {
    let accounts = accounts().snapshots(SnapshotPolicy::every(3));
    let deposit = |count: i64| {
        let accounts = accounts.clone();
        async move {
            let emit = |account: &mut es_core::Root<Account>| {
                (0..count).for_each(|_| account.emit(deposited(1)));
                Ok(())
            };
            accounts.execute("a", emit).await.unwrap();
        }
    };
    let versions = async || snapshot_version(accounts.store()).await;
    deposit(2).await;
    assert_eq!(versions().await, None);
    deposit(2).await; // 2 -> 4 crosses 3
    assert_eq!(versions().await, Some(4));
    deposit(1).await;
    assert_eq!(versions().await, Some(4));
    deposit(7).await; // 5 -> 12 crosses 6, 9 and 12
    assert_eq!(versions().await, Some(12));
    assert_eq!(accounts.load("a").await.unwrap().cents, 12);
}

/// The version of the one snapshot there is, whatever its fingerprint.
async fn snapshot_version(store: &dyn EventStore) -> Option<u64> {
    use es_core::{Aggregate, Applier};
    let fingerprint = Account::STATE_FINGERPRINT.rotate_left(32) ^ Account::APPLIER_FINGERPRINT;
    Some(store.snapshot(&stream("a"), fingerprint).await.unwrap()?.version)
}

#[tokio::test]
async fn an_unreadable_snapshot_is_passed_over() {
    use es_core::{Aggregate, Applier};
    let accounts = accounts().snapshots(SnapshotPolicy::every(1));
    accounts
        .execute("a", |account| {
            account.emit(deposited(1));
            Ok(())
        })
        .await
        .unwrap();
    accounts
        .execute("a", |account| {
            account.emit(deposited(1));
            Ok(())
        })
        .await
        .unwrap();
    let garbage = es_core::Snapshot {
        stream: stream("b"),
        fingerprint: Account::STATE_FINGERPRINT.rotate_left(32) ^ Account::APPLIER_FINGERPRINT,
        version: 1,
        state: b"not a state".to_vec(),
    };
    put(accounts.store(), "b", NewEvent::encode(&AccountEvent::Deposited(deposited(4))).unwrap()).await;
    accounts.store().offer_snapshot(garbage);
    assert_eq!(accounts.load("b").await.unwrap().cents, 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is emitted in whatever portions, and however often snapshots are made, they change nothing.
    #[test]
    fn a_snapshot_and_its_tail_fold_to_the_same_state_as_all_events(
        commits in proptest::collection::vec(proptest::collection::vec(-100_i64..100, 0..6), 0..12),
        every in 1_u64..8,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let with = accounts().snapshots(SnapshotPolicy::every(every));
            for commit in &commits {
                let emit = |account: &mut es_core::Root<Account>| {
                    commit.iter().for_each(|cents| account.emit(deposited(*cents)));
                    Ok(())
                };
                with.execute("a", emit).await.unwrap();
            }
            let loaded = with.load("a").await.unwrap();
            let replayed = with.load_at("a", At::Version(u64::MAX)).await.unwrap();
            prop_assert_eq!(loaded.state(), replayed.state());
            prop_assert_eq!(loaded.version(), replayed.version());
            Ok(())
        })?;
    }
}
