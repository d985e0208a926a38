//! What is too large.

use super::*;
use crate::Metadata;

fn assert_too_large(error: &Error, what: &str, limit: usize) {
    assert!(
        matches!(error, Error::TooLarge { what: named, limit: given, .. } if *named == what && *given == limit),
        "{what} over {limit} bytes was expected, not: {error}"
    );
}

/// A payload over the limit is refused, one at the limit is not.
pub async fn an_oversized_event_is_refused(store: &impl EventStore) {
    let limit = store.limits().event_bytes;
    let of = |bytes: usize| Commit::append(stream("a"), Expected::Any, vec![event("x".repeat(bytes))]);
    assert_too_large(&refused(store, of(limit + 1)).await, "event", limit);
    committed(store, of(limit)).await;
    assert_eq!(contents(store, &stream("a")).await[0].len(), limit);
}

/// An id over the limit is refused, one at the limit is not.
pub async fn an_oversized_id_is_refused(store: &impl EventStore) {
    let limit = store.limits().id_bytes;
    let error = refused(store, to(stream(&"x".repeat(limit + 1)), Expected::Any, 1)).await;
    assert_too_large(&error, "aggregate id", limit);
    committed(store, to(stream(&"x".repeat(limit)), Expected::Any, 1)).await;
    let long = "x".repeat(limit + 1);
    let of_type = StreamKey::new(None, &*long, AggregateId::new("a").unwrap());
    assert_too_large(&refused(store, to(of_type, Expected::Any, 1)).await, "stream type", limit);
    let with = |event| Commit::append(stream("a"), Expected::Any, vec![event]);
    assert_too_large(&refused(store, with(NewEvent::raw(long.clone(), ""))).await, "event type", limit);
    assert_too_large(&refused(store, with(event(1).claim(&*long, "k"))).await, "constraint", limit);
    assert_too_large(&refused(store, with(event(1).claim("email", &*long))).await, "unique key", limit);
}

/// A commit of too many events is refused whole.
pub async fn too_many_events_are_refused(store: &impl EventStore) {
    let limit = store.limits().commit_events;
    let error = refused(store, to(stream("a"), Expected::Any, limit + 1)).await;
    assert!(matches!(error, Error::TooManyEvents { .. }), "{error}");
    assert_eq!(store.head().await.unwrap(), 0);
    committed(store, to(stream("a"), Expected::Any, limit)).await;
}

/// Metadata is not a place for documents.
pub async fn oversized_metadata_is_refused(store: &impl EventStore) {
    let limit = store.limits().metadata_bytes;
    let metadata = Metadata::default().entry("document", "x".repeat(limit));
    let error = refused(store, to(stream("a"), Expected::Any, 1).metadata(metadata)).await;
    assert_too_large(&error, "metadata", limit);
}
