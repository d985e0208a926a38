//! Events that are asked of the store, and who answers.

use std::time::Duration;

use es_core::{
    AggregateId, Commit, Error, EventLog, EventStore, Expected, Filter, NewEvent, Runner, StreamKey, runner::Running,
    wire::ReadEventResponse,
};
use es_nats::{Relay, Subscription};
use es_sqlite::SqliteStore;
use futures_util::StreamExt;
use prost::Message;
use test_servers::NatsServer;
use tokio::time::timeout;

use crate::support::{Rig, STREAM, append, log};

const PATIENCE: Duration = Duration::from_secs(30);

/// A stream with one event that is too large for it, and its reader. No relay runs.
async fn with_a_stub() -> (Rig, Subscription) {
    let rig = Rig::with(NatsServer::builder().config("max_payload: 16384").start().await.unwrap()).await;
    let stream = StreamKey::new(None, "bank.v1.Account", AggregateId::new("acc.1").unwrap());
    let event = NewEvent::raw("bank.v1.MoneyDeposited", vec![7; 50_000]);
    rig.store.append(Commit::append(stream, Expected::Any, vec![event])).await.unwrap();
    let running = rig.start().await;
    rig.relayed(&running).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    assert_eq!(subscription.read_all(0, 1, &Filter::all()).await.unwrap().events, log(&rig.store).await);
    running.shutdown().await;
    (rig, subscription)
}

async fn relay(rig: &Rig, store: &SqliteStore, stream: &str) -> Running {
    let relay = Relay::builder(&rig.nats().await).stream(stream).prefix(stream).build(store).await.unwrap();
    let running = Runner::new(store.clone()).run(relay).start().unwrap();
    running.wait_for_position(&format!("relay:{stream}"), 1, PATIENCE).await.unwrap();
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_store_does_not_answer_readers_of_the_one_before() {
    let (rig, subscription) = with_a_stub().await;
    let restored = rig.restored().await;
    let running = relay(&rig, &restored, "copy").await;
    let error = subscription.read_all(0, 1, &Filter::all()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    let said = error.to_string();
    let answered = format!("in epoch {}: it was restored", restored.identity().epoch);
    assert!(said.contains("asked for in epoch 0") && said.contains(&answered), "{said}");
    let copy = Subscription::open(&rig.nats().await, "copy").await.unwrap();
    assert_eq!(copy.read_all(0, 1, &Filter::all()).await.unwrap().events, log(&restored).await);
    running.shutdown().await;

    let running = rig.start().await;
    rig.relayed(&running).await;
    assert_eq!(subscription.read_all(0, 1, &Filter::all()).await.unwrap().events, log(&rig.store).await);
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_before_a_lost_message_that_nobody_hands_out_now_is_handed_over() {
    let rig = Rig::new().await;
    let relay = Relay::builder(&rig.nats().await).stream(STREAM).config(|config| config.deny_delete = false);
    let relay = relay.build(&rig.store).await.unwrap();
    for id in 0..6 {
        append(&rig.store, id, 1).await;
    }
    rig.run_until_equal(&relay, STREAM).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    for (deleted, before) in [(6, 5), (3, 2)] {
        rig.stream().await.delete_message(deleted).await.unwrap();
        for filter in [Filter::all(), Filter::all().stream_types(["bank.v1.Account"])] {
            let page = subscription.read_all(0, 10, &filter).await.unwrap();
            assert_eq!((page.events.len() as u64, page.scanned_to), (before, before), "{filter:?}");
            let error = subscription.read_all(before, 10, &filter).await.unwrap_err();
            assert!(error.to_string().contains("can't be fetched from its store"), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_large_events_are_short_whether_the_stream_has_stubs_of_them_or_nothing() {
    let rig = Rig::with(NatsServer::builder().config("max_payload: 131072").start().await.unwrap()).await;
    let stream = StreamKey::new(None, "bank.v1.Account", AggregateId::new("acc.1").unwrap());
    for n in 0..20 {
        let events = (0..2).map(|_| NewEvent::raw("bank.v1.MoneyDeposited", vec![n; 250_000])).collect();
        rig.store.append(Commit::append(stream.clone(), Expected::Any, events)).await.unwrap();
    }
    let relay = Relay::builder(&rig.nats().await).stream(STREAM).config(|config| config.deny_purge = false);
    let relay = relay.build(&rig.store).await.unwrap();
    let running = Runner::new(rig.store.clone()).run(relay).start().unwrap();
    rig.relayed(&running).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    for purged in [0, 38] {
        if purged > 0 {
            rig.stream().await.purge().sequence(purged).await.unwrap();
        }
        for filter in [Filter::all(), Filter::all().stream_types(["bank.v1.Account"])] {
            let (mut events, mut after) = (Vec::new(), 0);
            while after < 40 {
                let page = subscription.read_all(after, 100, &filter).await.unwrap();
                assert!(page.events.len() <= 36, "{} events of 250,000 bytes in one page", page.events.len());
                assert!(page.scanned_to > after, "{filter:?} at {after}");
                after = page.scanned_to;
                events.extend(page.events.into_iter().map(|event| event.meta.position));
            }
            assert_eq!(events, (1..=40).collect::<Vec<_>>(), "{filter:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_before_an_event_that_is_not_to_be_had_now_is_handed_over() {
    let (rig, _) = with_a_stub().await;
    append(&rig.store, 1, 3).await;
    let stream = StreamKey::new(None, "bank.v1.Account", AggregateId::new("acc.1").unwrap());
    let event = NewEvent::raw("bank.v1.MoneyDeposited", vec![7; 50_000]);
    rig.store.append(Commit::append(stream, Expected::Any, vec![event])).await.unwrap();
    let running = rig.start().await;
    rig.relayed(&running).await;
    running.shutdown().await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    for filter in [Filter::all(), Filter::all().stream_types(["bank.v1.Account"])] {
        let page = subscription.read_all(1, 10, &filter).await.unwrap();
        assert_eq!((page.events.len(), page.scanned_to), (3, 4), "{filter:?}");
        let error = subscription.read_all(4, 10, &filter).await.unwrap_err();
        assert!(error.to_string().contains("no relay of store"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_ends_is_not_taken() {
    let (rig, subscription) = with_a_stub().await;
    let client = async_nats::connect(rig.server.url()).await.unwrap();
    let subject = format!("es.store.{}.events", rig.store.identity().id);
    let mut requests = client.subscribe(subject).await.unwrap();
    client.flush().await.unwrap();
    tokio::spawn(async move {
        let endless = ReadEventResponse { size: u64::MAX, chunk: vec![0; 10_000], error: None }.encode_to_vec();
        while let Some(request) = requests.next().await {
            client.publish(request.reply.unwrap(), endless.clone().into()).await.unwrap();
        }
    });
    let all = Filter::all();
    let error = timeout(PATIENCE, subscription.read_all(0, 1, &all)).await.expect("it ends").unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("at most 67108864 are taken"), "{error}");
}
