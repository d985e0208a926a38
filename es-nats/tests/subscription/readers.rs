//! Projections and reactors over a subscription.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use es_core::{Error, EventLog, Filter, HookBuilder, Projection, Runner, Subscriber, runner::State};
use es_nats::Subscription;
use es_sqlite::{SqliteProjection, SqliteProjectionBuilder, SqliteStore};

use crate::support::{Deposited, Rig, STREAM, append, fill, log};

const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn deposits() -> SqliteProjectionBuilder {
    SqliteProjection::builder("deposits")
        .migration("CREATE TABLE deposit (position INTEGER PRIMARY KEY, account TEXT NOT NULL) STRICT")
        .on::<Deposited, _>(|tx, _event, meta| {
            tx.execute("INSERT INTO deposit VALUES (?1, ?2)", (meta.position, meta.stream.id.as_str()))?;
            Ok(())
        })
}

pub(super) async fn count(projection: &SqliteProjection) -> u64 {
    projection.query(|tx| tx.query_row("SELECT count(*) FROM deposit", [], |row| row.get(0))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_catches_up_follows_is_partitioned_and_rebuilt() {
    let rig = Rig::new().await;
    fill(&rig.store, 2_000).await;
    let relaying = rig.start().await;
    rig.equal(&relaying).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    let projection = deposits().partitions(3).build_over(rig.path("read.db"), subscription.clone()).unwrap();
    let running = Runner::new(subscription).run(projection.clone()).start().unwrap();
    for id in 0..50 {
        append(&rig.store, id, 3).await;
    }
    let head = rig.store.head().await.unwrap();
    running.wait_for_position("deposits", head, PATIENCE).await.unwrap();
    assert_eq!(count(&projection).await, head);

    assert_eq!(projection.rebuild().await.unwrap(), head);
    append(&rig.store, 9, 9).await;
    running.wait_for_position("deposits", head + 9, PATIENCE).await.unwrap();
    assert_eq!(count(&projection).await, head + 9);
    running.shutdown().await;
}

#[tokio::test]
async fn it_works_on_a_runtime_with_one_thread() {
    let rig = Rig::new().await;
    fill(&rig.store, 300).await;
    let relaying = rig.start().await;
    rig.equal(&relaying).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    let projection = deposits().build_over(rig.path("read.db"), subscription.clone()).unwrap();
    assert_eq!(projection.catch_up().await.unwrap(), 300);
    assert_eq!(projection.rebuild().await.unwrap(), 300);
    assert_eq!(count(&projection).await, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_with_effects_elsewhere_keeps_its_checkpoint_in_a_database_of_its_own() {
    let rig = Rig::new().await;
    fill(&rig.store, 400).await;
    let relaying = rig.start().await;
    rig.equal(&relaying).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    let checkpoints = SqliteStore::open(rig.path("checkpoints.db")).await.unwrap();
    let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
    let noting = |seen: &Arc<Mutex<Vec<u64>>>| {
        Projection::builder("noting").with(seen.clone()).on::<Deposited, _>(
            async |seen: Arc<Mutex<Vec<u64>>>, _event, meta| {
                seen.lock().unwrap().push(meta.position);
                Ok(())
            },
        )
    };
    for _ in 0..2 {
        let projection = noting(&seen).build_over(&subscription, checkpoints.clone()).await.unwrap();
        let running = Runner::new(subscription.clone()).run(projection.clone()).start().unwrap();
        let head = append(&rig.store, 1, 4).await;
        running.wait_for_position("noting", head, PATIENCE).await.unwrap();
        assert_eq!(projection.checkpoint(0).await.unwrap(), head);
        running.shutdown().await;
    }
    assert_eq!(*seen.lock().unwrap(), (1..=408).collect::<Vec<u64>>(), "each once, in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_of_another_store_is_refused() {
    let (one, other) = (Rig::new().await, Rig::new().await);
    for rig in [&one, &other] {
        fill(&rig.store, 20).await;
        let running = rig.start().await;
        rig.equal(&running).await;
    }
    let open = async |rig: &Rig| Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    let projection = deposits().build_over(one.path("read.db"), open(&one).await).unwrap();
    projection.catch_up().await.unwrap();
    projection.close().await;
    let error = deposits().build_over(one.path("read.db"), open(&other).await).unwrap_err();
    assert!(matches!(error, Error::StoreIdentityChanged { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_listed_by_a_runner_is_live_only_at_the_end_of_the_stream() {
    let rig = Rig::new().await;
    fill(&rig.store, 100).await;
    let relaying = rig.start().await;
    rig.equal(&relaying).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    let projection = deposits().build_over(rig.path("read.db"), subscription.clone()).unwrap();
    let running = Runner::new(subscription.clone()).run(projection).start().unwrap();
    running.wait_for_position("deposits", 100, PATIENCE).await.unwrap();
    let status = running.status("deposits").unwrap();
    assert!(matches!(status.state, State::Live), "{status:?}");
    assert_eq!((status.head, status.lag_events), (100, 0));
    assert_eq!(
        log(&rig.store).await.len() as u64,
        subscription.read_all(0, 1_000, &Filter::all()).await.unwrap().scanned_to
    );
}
