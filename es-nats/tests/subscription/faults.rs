//! Servers that die, stand still and lose what they had: nothing is handled twice or left out.

use std::time::Duration;

use es_core::{
    AggregateId, Commit, Error, EventLog, EventStore, Expected, Filter, HookBuilder, NewEvent, RecordedEvent, Runner,
    StreamKey,
};
use es_nats::Subscription;
use es_sqlite::SqliteProjection;
use futures_util::{StreamExt, TryStreamExt};
use test_servers::{NatsServer, NatsVersion};

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

/// Reads on until a position, page by page.
async fn read_to(log: &Subscription, mut after: u64, to: u64, limit: usize, filter: &Filter) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    while after < to {
        let page = log.read_all(after, limit, filter).await.unwrap();
        assert!(page.events.iter().all(|event| event.meta.position > after), "nothing comes twice");
        (after, _) = (page.scanned_to, events.extend(page.events));
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn what_grows_too_old_for_the_stream_while_it_is_read_is_fetched_from_the_store() {
    let rig = Rig::new().await;
    let nats = rig.nats().await;
    let relay = es_nats::Relay::builder(&nats).stream(STREAM).config(|config| config.deny_purge = false);
    let relay = relay.build(&rig.store).await.unwrap();
    fill(&rig.store, 600).await;
    let relaying = Runner::new(rig.store.clone()).run(relay).start().unwrap();
    rig.equal(&relaying).await;
    let subscription = Subscription::open(&nats, STREAM).await.unwrap();
    let filters = [Filter::all(), Filter::all().stream_types(["bank.v1.Account"])];
    let mut begun = Vec::new();
    for filter in &filters {
        begun.push(subscription.read_all(0, 50, filter).await.unwrap());
    }
    rig.stream().await.purge().sequence(400).await.unwrap();
    for (filter, page) in filters.iter().zip(begun) {
        let rest = read_to(&subscription, page.scanned_to, 600, 50, filter).await;
        let all: Vec<_> = page.events.into_iter().chain(rest).collect();
        assert_eq!(all, log(&rig.store).await, "{filter:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_large_events_is_as_short_as_the_connection_bears() {
    let rig = Rig::new().await;
    let stream = StreamKey::new(None, "bank.v1.Account", AggregateId::new("acc.large").unwrap());
    for _ in 0..20 {
        let events = (0..10).map(|n| NewEvent::raw("bank.v1.MoneyDeposited", vec![n; 200_000])).collect();
        rig.store.append(Commit::append(stream.clone(), Expected::Any, events)).await.unwrap();
    }
    let relaying = rig.start().await;
    rig.equal(&relaying).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    for filter in [Filter::all(), Filter::all().stream_types(["bank.v1.Account"])] {
        let page = subscription.read_all(0, 4_096, &filter).await.unwrap();
        assert!(page.events.len() < 60, "{} events of 200,000 bytes in one page", page.events.len());
        let rest = read_to(&subscription, page.scanned_to, 200, 4_096, &filter).await;
        assert_eq!(page.events.len() + rest.len(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_the_server_has_forgotten_goes_on() {
    let rig = Rig::new().await;
    fill(&rig.store, 300).await;
    let relaying = rig.start().await;
    rig.equal(&relaying).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    let mut events = subscription.events(0, Filter::all());
    let mut got: Vec<_> = events.by_ref().take(300).try_collect().await.unwrap();
    let stream = rig.stream().await;
    let names: Vec<_> = stream.consumer_names().try_collect().await.unwrap();
    for name in names {
        stream.delete_consumer(&name).await.unwrap();
    }
    fill(&rig.store, 320).await;
    while got.len() < 320 {
        got.push(tokio::time::timeout(PATIENCE, events.try_next()).await.unwrap().unwrap().unwrap());
    }
    assert_eq!(got, log(&rig.store).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_lost_end_nothing_comes_twice_whatever_the_server_begins_with() {
    for version in [NatsVersion::Newest, NatsVersion::Older] {
        let mut rig = Rig::with(NatsServer::builder().version(version).start().await.unwrap()).await;
        let relaying = rig.start().await;
        fill(&rig.store, 200).await;
        rig.equal(&relaying).await;
        relaying.shutdown().await;
        rig.server.kill();
        cut_the_last_block(&rig.server);
        rig.server.restart().await.unwrap();
        let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
        assert!(subscription.head().await.unwrap() < 200);
        let mut events = subscription.events(200, Filter::all());
        let next = tokio::spawn(async move { events.try_next().await });
        let relaying = rig.start().await;
        rig.relayed(&relaying).await;
        append(&rig.store, 5, 1).await;
        let next = tokio::time::timeout(PATIENCE, next).await.unwrap().unwrap().unwrap().unwrap();
        assert_eq!(next.meta.position, 201, "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_made_again_is_not_taken_for_the_one_that_was_open() {
    let rig = Rig::new().await;
    fill(&rig.store, 50).await;
    let relay = rig.relay().await;
    rig.run_until_equal(&relay, STREAM).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    assert_eq!(read_to(&subscription, 0, 50, 20, &Filter::all()).await.len(), 50);
    rig.jetstream().await.delete_stream(STREAM).await.unwrap();
    relay.reseed().await.unwrap();
    rig.run_until_equal(&relay, STREAM).await;
    let error = subscription.head().await.unwrap_err();
    assert!(matches!(error, Error::Diverged { .. }), "{error}");
    assert!(error.to_string().contains("it was made again"), "{error}");
}
