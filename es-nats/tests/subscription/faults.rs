//! Servers that die, stand still and lose what they had: nothing is handled twice or left out.

use std::time::Duration;

use es_core::{EventLog, Filter, HookBuilder, Runner};
use es_nats::Subscription;
use es_sqlite::SqliteProjection;

use crate::support::{Deposited, Rig, STREAM, append, cut_the_last_block, fill, is_long, log};

const PATIENCE: Duration = Duration::from_secs(60);

/// A read model that fails when an event comes twice, and that shows a gap.
fn positions(rig: &Rig, log: Subscription) -> SqliteProjection {
    SqliteProjection::builder("positions")
        .migration("CREATE TABLE seen (position INTEGER PRIMARY KEY) STRICT")
        .on::<Deposited, _>(|tx, _event, meta| {
            tx.execute("INSERT INTO seen VALUES (?1)", [meta.position])?;
            Ok(())
        })
        .build_over(rig.path("read.db"), log)
        .unwrap()
}

async fn assert_each_once(projection: &SqliteProjection, head: u64) {
    let seen = projection
        .query(|tx| tx.query_row("SELECT count(*), max(position) FROM seen", [], |row| Ok((row.get(0)?, row.get(1)?))));
    assert_eq!(seen.await.unwrap(), (head, head));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_again_and_again_costs_no_event() {
    let mut rig = Rig::new().await;
    let relaying = rig.start().await;
    append(&rig.store, 0, 5).await;
    rig.equal(&relaying).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    let projection = positions(&rig, subscription.clone());
    let running = Runner::new(subscription).run(projection.clone()).start().unwrap();
    for round in 0..if is_long() { 20 } else { 5 } {
        for id in 0..40 {
            append(&rig.store, round * 40 + id, 1 + id as usize % 9).await;
        }
        rig.server.kill();
        append(&rig.store, round, 3).await;
        rig.server.restart().await.unwrap();
    }
    let head = rig.store.head().await.unwrap();
    running.wait_for_position("positions", head, PATIENCE).await.unwrap();
    assert_each_once(&projection, head).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_is_waited_for() {
    let mut rig = Rig::new().await;
    let relaying = rig.start().await;
    append(&rig.store, 0, 5).await;
    rig.equal(&relaying).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    let projection = positions(&rig, subscription.clone());
    let running = Runner::new(subscription).run(projection.clone()).start().unwrap();
    rig.server.stop_signal();
    fill(&rig.store, 500).await;
    tokio::time::sleep(Duration::from_secs(if is_long() { 10 } else { 2 })).await;
    rig.server.cont_signal();
    running.wait_for_position("positions", 500, PATIENCE).await.unwrap();
    assert_each_once(&projection, 500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_from_the_stream_is_fetched_from_the_store() {
    let rig = Rig::new().await;
    let nats = rig.nats().await;
    let relay = es_nats::Relay::builder(&nats).stream(STREAM).config(|config| {
        (config.deny_delete, config.deny_purge) = (false, false);
    });
    let relay = relay.build(&rig.store).await.unwrap();
    fill(&rig.store, 900).await;
    let relaying = Runner::new(rig.store.clone()).run(relay).start().unwrap();
    rig.equal(&relaying).await;
    let stream = rig.stream().await;
    // The begin, some in the middle, and the end.
    stream.purge().sequence(300).await.unwrap();
    for lost in [417, 418, 419, 500, 899, 900] {
        stream.delete_message(lost).await.unwrap();
    }
    let subscription = Subscription::open(&nats, STREAM).await.unwrap();
    for filter in [Filter::all(), Filter::all().stream_types(["bank.v1.Account"])] {
        let (mut events, mut after) = (Vec::new(), 0);
        while after < 900 {
            let page = subscription.read_all(after, 100, &filter).await.unwrap();
            (after, _) = (page.scanned_to, events.extend(page.events));
        }
        assert_eq!(events, log(&rig.store).await, "{filter:?}");
    }

    let projection = positions(&rig, subscription.clone());
    append(&rig.store, 5, 2).await;
    let running = Runner::new(subscription.clone()).run(projection.clone()).start().unwrap();
    running.wait_for_position("positions", 902, PATIENCE).await.unwrap();
    assert_each_once(&projection, 902).await;

    relaying.shutdown().await;
    let error = subscription.read_all(0, 10, &Filter::all()).await.unwrap_err();
    let message = error.to_string();
    assert!(message.contains("stream `bank` has no message 1, and it can't be fetched from its store: "), "{message}");
    assert!(message.contains("no relay of store"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_ahead_of_a_stream_that_lost_its_end_waits_until_it_is_filled_again() {
    let mut rig = Rig::new().await;
    let relaying = rig.start().await;
    fill(&rig.store, 200).await;
    rig.equal(&relaying).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    let projection = positions(&rig, subscription.clone());
    assert_eq!(projection.catch_up().await.unwrap(), 200);
    relaying.shutdown().await;

    rig.server.kill();
    cut_the_last_block(&rig.server);
    rig.server.restart().await.unwrap();
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    assert!(subscription.head().await.unwrap() < 200);
    let error = projection.catch_up().await.unwrap_err();
    assert!(error.to_string().contains("it lost its end; its relay will fill it again"), "{error}");

    let running = Runner::new(subscription).run(projection.clone()).start().unwrap();
    let _relaying = rig.start().await;
    append(&rig.store, 5, 7).await;
    running.wait_for_position("positions", 207, PATIENCE).await.unwrap();
    assert_each_once(&projection, 207).await;
}
