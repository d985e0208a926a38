//! Events that are larger than the server takes, and the endpoint that has them whole.

use async_nats::Client;
use es_core::{
    AggregateId, Commit, EventLog, EventStore, Expected, Metadata, NewEvent, StreamKey,
    wire::{ReadEventRequest, ReadEventResponse},
};
use es_nats::{Content, Envelope, Relay};
use es_sqlite::SqliteStore;
use prost::Message;
use test_servers::NatsServer;

use crate::support::{Rig, STREAM, faulted, log, messages, reached};

async fn append(store: &SqliteStore, bytes: usize) -> u64 {
    let stream = StreamKey::new(None, "bank.v1.Account", AggregateId::new("acc.1").unwrap());
    let event = NewEvent::raw("bank.v1.MoneyDeposited", (0..bytes).map(|n| n as u8).collect::<Vec<_>>());
    store.append(Commit::append(stream, Expected::Any, vec![event])).await.unwrap().position()
}

/// An event as any program gets it, piece by piece; and how many pieces there were.
async fn whole(client: &Client, store: &SqliteStore, position: u64) -> (Envelope, usize) {
    let (mut envelope, mut pieces) = (Vec::new(), 0);
    loop {
        let answer = ask(client, store, position, envelope.len() as u64).await;
        assert_eq!(answer.error, None);
        envelope.extend(answer.chunk);
        pieces += 1;
        if envelope.len() as u64 == answer.size {
            return (Envelope::decode(&envelope.into()).unwrap(), pieces);
        }
    }
}

async fn ask(client: &Client, store: &SqliteStore, position: u64, offset: u64) -> ReadEventResponse {
    let subject = format!("es.store.{}.events", store.identity().id);
    let request = ReadEventRequest { position, offset }.encode_to_vec();
    ReadEventResponse::decode(client.request(subject, request.into()).await.unwrap().payload).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_larger_than_the_server_takes_is_a_stub_and_the_store_s_endpoint_has_it_whole() {
    let rig = Rig::with(NatsServer::builder().config("max_payload: 16384").start().await.unwrap()).await;
    let running = rig.start().await;
    let limit = 16_384;
    for bytes in [10, 200_000, limit - 1, limit, limit + 1, 0].into_iter().chain(limit - 600..limit - 100) {
        append(&rig.store, bytes).await;
    }
    rig.equal(&running).await;
    let client = async_nats::connect(rig.server.url()).await.unwrap();
    let log = log(&rig.store).await;
    let mut stubs = 0;
    for (position, _, body) in messages(&rig.stream().await).await {
        let event = &log[position as usize - 1];
        let envelope = Envelope::decode(&body).unwrap();
        if let Content::LeftOut { .. } = envelope.content {
            stubs += 1;
            assert_eq!(envelope.meta, event.meta);
            let (envelope, pieces) = whole(&client, &rig.store, position).await;
            assert_eq!(envelope.into_event().as_ref(), Some(event));
            assert_eq!(pieces, event.payload.len().div_ceil(limit - 512).min(pieces));
        }
    }
    assert!(stubs > 4 && stubs < 400, "{stubs} of {} events were too large", log.len());
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_the_stream_counts_as_one_of_the_server() {
    let rig = Rig::new().await;
    let relay = Relay::builder(&rig.nats().await).stream(STREAM).config(|stream| stream.max_message_size = 4_096);
    let relay = relay.build(&rig.store).await.unwrap();
    let running = es_core::Runner::new(rig.store.clone()).run(relay).start().unwrap();
    for bytes in (3_000..4_200).step_by(20) {
        append(&rig.store, bytes).await;
    }
    rig.equal(&running).await;
    let is_stub = |body: &bytes::Bytes| matches!(Envelope::decode(body).unwrap().content, Content::LeftOut { .. });
    let messages = messages(&rig.stream().await).await;
    assert!(!is_stub(&messages[0].2) && is_stub(&messages.last().unwrap().2));
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_refuses_what_is_new_and_the_relay_says_so_and_waits() {
    let rig = Rig::new().await;
    let relay = Relay::builder(&rig.nats().await).stream(STREAM).config(|stream| stream.max_bytes = 64 << 10);
    let relay = relay.build(&rig.store).await.unwrap();
    let running = es_core::Runner::new(rig.store.clone()).run(relay.clone()).start().unwrap();
    for _ in 0..100 {
        append(&rig.store, 1_000).await;
    }
    let is_full = |problem: String| problem.contains("maximum bytes exceeded");
    let status = reached(&running, |_| relay.status().problem.is_some_and(is_full)).await;
    assert!(status.lag_events > 30, "{status:?}");
    let messages = messages(&rig.stream().await).await;
    assert!((40..70).contains(&messages.len()) && messages.last().unwrap().0 == messages.len() as u64);
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_too_large_even_without_its_payload_stops_the_relay() {
    let rig = Rig::with(NatsServer::builder().config("max_payload: 2048").start().await.unwrap()).await;
    append(&rig.store, 10).await;
    let stream = StreamKey::new(None, "bank.v1.Account", AggregateId::new("acc.1").unwrap());
    let commit = Commit::append(stream, Expected::Any, vec![NewEvent::raw("bank.v1.MoneyDeposited", b"")]);
    rig.store.append(commit.metadata(Metadata::default().entry("k", "v".repeat(3_000)))).await.unwrap();
    let running = rig.start().await;
    let said = faulted(&running).await;
    assert!(said.contains("position 2") && said.contains("the limit is 2048; raise max_payload"), "{said}");
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoint_says_what_it_can_t_hand_out() {
    let rig = Rig::new().await;
    append(&rig.store, 10).await;
    let running = rig.start().await;
    reached(&running, |status| status.checkpoint == 1).await;
    let client = async_nats::connect(rig.server.url()).await.unwrap();
    for position in [0, 2, u64::MAX] {
        let error = ask(&client, &rig.store, position, 0).await.error.unwrap();
        assert_eq!(error.code, "NO_SUCH_EVENT", "{error:?}");
    }
    let past = ask(&client, &rig.store, 1, u64::MAX).await;
    assert!(past.size > 10 && past.chunk.is_empty());
    let subject = format!("es.store.{}.events", rig.store.identity().id);
    let answer = client.request(subject, "\u{7f}nonsense".into()).await.unwrap();
    assert!(ReadEventResponse::decode(answer.payload).unwrap().error.is_some());
    assert_eq!(whole(&client, &rig.store, 1).await.0.into_event().as_ref(), log(&rig.store).await.first());
    running.shutdown().await;
}
