//! The checker that compares the stream with the store.

use async_nats::jetstream::{consumer::pull, stream};
use bytes::Bytes;
use es_core::{EventLog, Filter, RecordedEvent};
use es_nats::{Content, Envelope};
use es_sqlite::SqliteStore;
use futures_util::StreamExt;

use super::PATIENCE;

/// The whole log.
pub async fn log(store: &SqliteStore) -> Vec<RecordedEvent> {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        let page = store.read_all(after, 500, &Filter::all()).await.unwrap();
        events.extend(page.events);
        if page.scanned_to == after {
            return events;
        }
        after = page.scanned_to;
    }
}

/// Every message of a stream: sequence, subject, body.
pub async fn messages(stream: &stream::Stream) -> Vec<(u64, String, Bytes)> {
    let state = stream.get_info().await.unwrap().state;
    let consumer = stream.create_consumer(pull::OrderedConfig::default()).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let mut all = Vec::new();
    while (all.len() as u64) < state.messages {
        let message = tokio::time::timeout(PATIENCE, messages.next()).await.unwrap().unwrap().unwrap();
        let sequence = message.info().unwrap().stream_sequence;
        all.push((sequence, message.subject.to_string(), message.payload.clone()));
    }
    all
}

/// The stream has every event of the store, in order, byte for byte, and nothing else.
pub async fn assert_equal(stream: &stream::Stream, store: &SqliteStore) {
    let (log, messages) = (log(store).await, messages(stream).await);
    assert_eq!(messages.len(), log.len(), "the stream has as many messages as the store has events");
    for (event, (sequence, subject, body)) in log.into_iter().zip(messages) {
        assert_eq!(sequence, event.meta.position, "the sequence is the position");
        let envelope = Envelope::decode(&body).unwrap();
        assert_eq!(envelope.store, store.identity());
        assert_eq!(subject.split('.').count(), 6, "{subject}");
        assert!(subject.contains(".bank%2Ev1.Account.MoneyDeposited.acc%2E"), "{subject}");
        match envelope.content {
            Content::Whole(_) => assert_eq!(envelope.into_event(), Some(event)),
            Content::LeftOut { bytes, .. } => assert_eq!(bytes, event.payload.len() as u64),
        }
    }
}
