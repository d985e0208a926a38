//! What an append admits, and what it leaves behind.

use super::*;

/// Nothing is in a new store.
pub async fn a_new_store_is_empty(store: &impl EventStore) {
    assert_eq!(store.head().await.unwrap(), 0);
    assert_eq!(store.version(&stream("a")).await.unwrap(), 0);
    assert!(contents(store, &stream("a")).await.is_empty());
    assert_eq!(store.read_all(0, 10, &Filter::all()).await.unwrap().events, []);
}

/// Versions count the events of their own stream.
pub async fn versions_are_dense_from_one_in_each_stream(store: &impl EventStore) {
    assert_eq!(committed(store, to(stream("a"), Expected::NoStream, 2)).await.versions, [2]);
    assert_eq!(committed(store, to(stream("b"), Expected::NoStream, 1)).await.versions, [1]);
    assert_eq!(committed(store, to(stream("a"), Expected::Exact(2), 3)).await.versions, [5]);
    assert_eq!(store.version(&stream("a")).await.unwrap(), 5);
    assert_eq!(contents(store, &stream("a")).await, ["1", "2", "1", "2", "3"]);
}

/// Positions count the events of the store, in the order of commits; a refused commit uses none up.
pub async fn positions_are_dense_and_in_commit_order(store: &impl EventStore) {
    assert_eq!(committed(store, to(stream("a"), Expected::NoStream, 2)).await.position, 2);
    refused(store, to(stream("a"), Expected::NoStream, 5)).await;
    assert_eq!(committed(store, to(stream("b"), Expected::NoStream, 1)).await.position, 3);
    assert_eq!(committed(store, to(stream("a"), Expected::Exact(2), 1)).await.position, 4);
    let positions: Vec<_> = log(store, 100, &Filter::all()).await.iter().map(|event| event.meta.position).collect();
    assert_eq!(positions, [1, 2, 3, 4]);
}

/// `Exact` admits the version it names; 0 means that there is no stream.
pub async fn exact_admits_only_that_version(store: &impl EventStore) {
    assert_conflict(&refused(store, to(stream("a"), Expected::Exact(1), 1)).await, &stream("a"), 0);
    committed(store, to(stream("a"), Expected::Exact(0), 1)).await;
    assert_conflict(&refused(store, to(stream("a"), Expected::Exact(0), 1)).await, &stream("a"), 1);
    assert_conflict(&refused(store, to(stream("a"), Expected::Exact(2), 1)).await, &stream("a"), 1);
    assert_conflict(&refused(store, to(stream("a"), Expected::Exact(u64::MAX), 1)).await, &stream("a"), 1);
    committed(store, to(stream("a"), Expected::Exact(1), 1)).await;
}

/// `NoStream` creates.
pub async fn no_stream_admits_only_what_does_not_exist(store: &impl EventStore) {
    committed(store, to(stream("a"), Expected::NoStream, 1)).await;
    assert_conflict(&refused(store, to(stream("a"), Expected::NoStream, 1)).await, &stream("a"), 1);
}

/// `StreamExists` does not create.
pub async fn stream_exists_admits_only_what_exists(store: &impl EventStore) {
    assert_conflict(&refused(store, to(stream("a"), Expected::StreamExists, 1)).await, &stream("a"), 0);
    committed(store, to(stream("a"), Expected::NoStream, 1)).await;
    committed(store, to(stream("a"), Expected::StreamExists, 1)).await;
}

/// `Any` appends to whatever is there.
pub async fn any_admits_everything(store: &impl EventStore) {
    assert_eq!(committed(store, to(stream("a"), Expected::Any, 1)).await.versions, [1]);
    assert_eq!(committed(store, to(stream("a"), Expected::Any, 1)).await.versions, [2]);
}

/// A stream without events in a commit is a check, and only that.
pub async fn a_version_check_without_events_is_made_and_writes_nothing(store: &impl EventStore) {
    committed(store, to(stream("a"), Expected::NoStream, 2)).await;
    let checked = to(stream("b"), Expected::NoStream, 1).and(stream("a"), Expected::Exact(2), Vec::new());
    assert_eq!(committed(store, checked).await.versions, [1, 2]);
    let stale = to(stream("b"), Expected::Exact(1), 1).and(stream("a"), Expected::Exact(1), Vec::new());
    assert_conflict(&refused(store, stale).await, &stream("a"), 2);
    let absent = to(stream("b"), Expected::Exact(1), 0).and(stream("never"), Expected::NoStream, Vec::new());
    assert_eq!(committed(store, absent).await.versions, [1, 0]);
    assert_eq!(store.head().await.unwrap(), 3);
    assert_eq!(store.version(&stream("never")).await.unwrap(), 0);
}

/// What stands in a commit twice has no one order.
pub async fn one_stream_twice_in_a_commit_is_refused(store: &impl EventStore) {
    let twice = to(stream("a"), Expected::Any, 1).and(stream("a"), Expected::Any, events(1));
    assert!(matches!(refused(store, twice).await, Error::InvalidRequest { .. }));
    assert_eq!(store.head().await.unwrap(), 0);
}

/// A commit is of one tenant.
pub async fn a_stream_of_another_tenant_is_refused(store: &impl EventStore) {
    let mixed = to(tenant_stream("t1", "a"), Expected::Any, 1).and(tenant_stream("t2", "a"), Expected::Any, events(1));
    assert!(matches!(refused(store, mixed).await, Error::InvalidRequest { .. }));
    assert_eq!(store.head().await.unwrap(), 0);
}

/// All streams of a commit change together.
pub async fn a_commit_over_streams_is_stored_whole(store: &impl EventStore) {
    committed(store, to(stream("a"), Expected::NoStream, 1)).await;
    let transfer = to(stream("a"), Expected::Exact(1), 2).and(stream("b"), Expected::NoStream, events(1));
    let stored = committed(store, transfer).await;
    assert_eq!((stored.position, &*stored.versions), (4, &[3, 1][..]));
    for event in &log(store, 100, &Filter::all()).await[1..] {
        assert_eq!((event.meta.commit_first, event.meta.commit_last), (2, 4));
    }
}

/// One conflict, and none of the streams changes.
pub async fn a_commit_over_streams_with_one_conflict_is_not_stored_at_all(store: &impl EventStore) {
    committed(store, to(stream("a"), Expected::NoStream, 1)).await;
    let transfer = to(stream("b"), Expected::NoStream, 1).and(stream("a"), Expected::Exact(7), events(1));
    assert_conflict(&refused(store, transfer).await, &stream("a"), 1);
    assert_eq!(store.version(&stream("b")).await.unwrap(), 0);
    assert_eq!(store.head().await.unwrap(), 1);
}

/// Whatever the clock does, an event is never recorded before the one in front of it.
pub async fn recorded_times_never_go_back(store: &impl EventStore) {
    for _ in 0..5 {
        committed(store, to(stream("a"), Expected::Any, 1)).await;
    }
    let times: Vec<_> = log(store, 100, &Filter::all()).await.iter().map(|event| event.meta.recorded_at).collect();
    assert!(times.is_sorted(), "{times:?}");
}

/// One id in two tenants names two streams.
pub async fn tenants_do_not_see_each_other(store: &impl EventStore) {
    committed(store, to(tenant_stream("t1", "a"), Expected::NoStream, 2)).await;
    committed(store, to(tenant_stream("t2", "a"), Expected::NoStream, 1)).await;
    committed(store, to(stream("a"), Expected::NoStream, 3)).await;
    assert_eq!(store.version(&tenant_stream("t1", "a")).await.unwrap(), 2);
    assert_eq!(contents(store, &tenant_stream("t2", "a")).await, ["1"]);
    assert_eq!(store.version(&stream("a")).await.unwrap(), 3);
    assert_eq!(store.version(&tenant_stream("t3", "a")).await.unwrap(), 0);
}

/// One id of two types names two streams.
pub async fn stream_types_do_not_mix(store: &impl EventStore) {
    let other = StreamKey::new(None, "conformance.v1.Order", AggregateId::new("a").unwrap());
    committed(store, to(stream("a"), Expected::NoStream, 2)).await;
    committed(store, to(other.clone(), Expected::NoStream, 1)).await;
    assert_eq!(store.version(&stream("a")).await.unwrap(), 2);
    assert_eq!(store.version(&other).await.unwrap(), 1);
}

/// An id is data, whatever it looks like.
pub async fn awkward_ids_are_carried_faithfully(store: &impl EventStore) {
    let longest = "é".repeat(store.limits().id_bytes / 2);
    let ids: Vec<&str> = AWKWARD_IDS.into_iter().chain([&*longest]).collect();
    for id in &ids {
        let tenant = tenant_stream(id, id);
        committed(store, Commit::append(tenant.clone(), Expected::NoStream, vec![event(id).claim("key", *id)])).await;
        assert_eq!(contents(store, &tenant).await, [*id]);
        assert_eq!(store.claimant(tenant.tenant.as_ref(), "key", id).await.unwrap(), Some(tenant));
    }
    let read = log(store, 100, &Filter::all()).await;
    let read: Vec<_> = read.iter().map(|event| event.meta.stream.id.as_str()).collect();
    assert_eq!(read, ids);
}
