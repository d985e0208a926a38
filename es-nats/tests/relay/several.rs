//! More than one relay of one store.

use std::time::Duration;

use es_core::{
    EventLog, Runner, Subscriber,
    runner::{Running, State},
};
use es_nats::Relay;
use es_sqlite::SqliteStore;

use crate::support::{NAME, Rig, STREAM, append, fill, is_long, reached};

/// As another process has it: a connection and a store of its own.
async fn another(rig: &Rig, lease: Duration) -> Running {
    let store = SqliteStore::open(rig.store.path()).await.unwrap();
    let relay = Relay::builder(&rig.nats().await).stream(STREAM).lease(lease).build(&store).await.unwrap();
    Runner::new(store).run(relay).start().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_relay_works_and_the_other_stands_by_until_the_first_ends() {
    let rig = Rig::new().await;
    fill(&rig.store, 500).await;
    let lease = Duration::from_secs(600);
    let first = another(&rig, lease).await;
    rig.equal(&first).await;
    let second = another(&rig, lease).await;
    for id in 0..10 {
        append(&rig.store, id, 5).await;
    }
    rig.equal(&first).await;
    reached(&second, |status| matches!(status.state, State::Standby)).await;
    first.shutdown().await;
    for id in 0..10 {
        append(&rig.store, id, 5).await;
    }
    rig.equal(&second).await;
    assert!(matches!(second.status(NAME).unwrap().state, State::Live));
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_takes_over_from_one_that_stands_still() {
    let rig = Rig::new().await;
    let first = another(&rig, Duration::from_millis(200)).await;
    fill(&rig.store, 300).await;
    rig.equal(&first).await;
    first.pause(NAME).await.unwrap();
    let second = another(&rig, Duration::from_millis(200)).await;
    fill(&rig.store, 600).await;
    rig.equal(&second).await;
    first.resume(NAME).unwrap();
    fill(&rig.store, 900).await;
    rig.equal(&second).await;
    reached(&first, |status| status.checkpoint == 900).await;
    first.shutdown().await;
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_that_all_believe_to_be_the_one_publish_each_event_once() {
    let rig = Rig::new().await;
    let mut relays = Vec::new();
    for _ in 0..3 {
        relays.push(another(&rig, Duration::from_millis(1)).await);
    }
    for id in 0..150 {
        append(&rig.store, id, 1 + id as usize % 60).await;
    }
    let head = rig.store.head().await.unwrap();
    for running in &relays {
        reached(running, |status| status.checkpoint == head).await;
    }
    rig.equal(&relays[0]).await;
    for running in relays {
        running.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_dies_amid_publishing_is_gone_on_from_where_the_stream_ends() {
    let rig = Rig::new().await;
    fill(&rig.store, 6_000).await;
    for death in 0..if is_long() { 200 } else { 20 } {
        let store = SqliteStore::open(rig.store.path()).await.unwrap();
        let lease = Duration::from_millis(1);
        let relay = Relay::builder(&rig.nats().await).stream(STREAM).lease(lease).build(&store).await.unwrap();
        // Nothing is given back or written down, whatever is under way.
        let dying = tokio::spawn(async move { while relay.advance(&store, 0).await.is_ok() {} });
        tokio::time::sleep(Duration::from_millis(death % 7 * 3)).await;
        dying.abort();
        append(&rig.store, death, 1 + death as usize).await;
    }
    let running = another(&rig, Duration::from_secs(10)).await;
    rig.equal(&running).await;
    running.shutdown().await;
}
