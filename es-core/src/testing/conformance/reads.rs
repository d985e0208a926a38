//! Folding streams and reading the log.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::{Encoding, Metadata, RecordedRef, partition_of};

/// Every byte of the payload and every word of the metadata.
pub async fn payloads_and_metadata_come_back_as_they_were(store: &impl EventStore) {
    let payload: Vec<u8> = (0..=255).chain([0, 0]).collect();
    let mut new = NewEvent::raw(EVENT, payload.clone());
    new.schema_version = 7;
    new.encoding = Encoding::Json;
    let metadata = Metadata::default()
        .principal("alice")
        .correlation("corr")
        .causation("cause")
        .traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .entry("channel", "🏦")
        .entry("empty", "");
    let mut commit = Commit::append(stream("a"), Expected::NoStream, vec![new, NewEvent::raw(EVENT, [])]);
    commit.metadata = metadata.clone();
    commit.command = Some(super::commands::record("c-1", b"request", "answer"));
    committed(store, commit).await;

    let log = log(store, 100, &Filter::all()).await;
    assert_eq!(&*log[1].payload, b"");
    let RecordedEvent { meta, payload: read } = &log[0];
    assert_eq!(*read, payload);
    assert_eq!((meta.version, meta.position, meta.schema_version, meta.encoding), (1, 1, 7, Encoding::Json));
    assert_eq!((&*meta.stream, &*meta.event_type), (&stream("a"), EVENT));
    let origin = meta.origin().unwrap();
    assert_eq!(origin.command_id.as_deref(), Some("c-1"));
    let read = [&origin.principal_id, &origin.correlation_id, &origin.causation_id, &origin.traceparent];
    let given = [&metadata.principal_id, &metadata.correlation_id, &metadata.causation_id, &metadata.traceparent];
    assert_eq!(read, given);
    assert_eq!(origin.entries, metadata.entries);

    let mut visit = |event: RecordedRef<'_>| {
        if event.version == 1 {
            assert_eq!((event.event.payload, event.event.event_type), (&*payload, EVENT));
            assert_eq!((event.event.schema_version, event.event.encoding), (7, Encoding::Json));
            assert_eq!((event.position, event.recorded_at), (1, meta.recorded_at));
        }
        Ok(ControlFlow::Continue(()))
    };
    assert_eq!(store.fold(&stream("a"), 0, &mut visit).await.unwrap(), 2);
}

/// A fold begins with the version after the given one.
pub async fn folding_starts_after_the_given_version(store: &impl EventStore) {
    committed(store, to(stream("a"), Expected::NoStream, 5)).await;
    for (after, expected) in [(0, vec![1, 2, 3, 4, 5]), (3, vec![4, 5]), (5, vec![]), (9, vec![]), (u64::MAX, vec![])] {
        let mut seen = Vec::new();
        let mut visit = |event: RecordedRef<'_>| {
            seen.push(event.version);
            Ok(ControlFlow::Continue(()))
        };
        let last = store.fold(&stream("a"), after, &mut visit).await.unwrap();
        assert_eq!(last, expected.last().copied().unwrap_or(after), "after {after}");
        assert_eq!(seen, expected, "after {after}");
    }
}

/// `Break` is the last word.
pub async fn folding_stops_when_the_visitor_breaks(store: &impl EventStore) {
    committed(store, to(stream("a"), Expected::NoStream, 5)).await;
    let mut seen = 0;
    let mut visit = |event: RecordedRef<'_>| {
        seen = event.version;
        Ok(if event.version == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    assert_eq!(store.fold(&stream("a"), 0, &mut visit).await.unwrap(), 2);
    assert_eq!(seen, 2);
}

/// The visitor's error comes through as it is.
pub async fn an_error_of_the_visitor_ends_the_fold(store: &impl EventStore) {
    committed(store, to(stream("a"), Expected::NoStream, 5)).await;
    let mut visit = |_: RecordedRef<'_>| Err(Error::Unsupported { what: "this event" });
    let error = store.fold(&stream("a"), 0, &mut visit).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { what: "this event" }), "{error}");
    assert_eq!(contents(store, &stream("a")).await.len(), 5);
}

/// However often an applier panics, reads and writes go on.
pub async fn a_panic_of_the_visitor_leaves_the_store_usable(store: &impl EventStore) {
    committed(store, to(stream("a"), Expected::NoStream, 2)).await;
    for _ in 0..20 {
        let stream = stream("a");
        let mut visit = |_: RecordedRef<'_>| panic!("an applier that panics, on purpose");
        let mut fold = store.fold(&stream, 0, &mut visit);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        // One poll is enough for a store that folds in place; others report the panic when it is reached.
        let _ = catch_unwind(AssertUnwindSafe(|| fold.as_mut().poll(&mut cx)));
    }
    assert_eq!(contents(store, &stream("a")).await, ["1", "2"]);
    committed(store, to(stream("a"), Expected::Exact(2), 1)).await;
}

/// Pages of any size give the same log.
pub async fn pages_cover_the_log_without_gap_or_repetition(store: &impl EventStore) {
    for count in [1, 3, 2, 5, 1] {
        committed(store, to(stream("a"), Expected::Any, count)).await;
    }
    let whole = log(store, 1_000, &Filter::all()).await;
    assert_eq!(whole.len(), 12);
    for page in 1..=13 {
        assert_eq!(log(store, page, &Filter::all()).await, whole, "in pages of {page}");
    }
}

/// A page is extended to the end of its last commit.
pub async fn a_page_never_shows_half_a_commit(store: &impl EventStore) {
    committed(store, to(stream("a"), Expected::NoStream, 1)).await;
    let transfer = to(stream("a"), Expected::Exact(1), 2).and(stream("b"), Expected::NoStream, events(2));
    committed(store, transfer).await;
    for limit in 2..=5 {
        let page = store.read_all(0, limit, &Filter::all()).await.unwrap();
        assert_eq!((page.events.len(), page.scanned_to), (5, 5), "with limit {limit}");
    }
    let page = store.read_all(0, 1, &Filter::all()).await.unwrap();
    assert_eq!((page.events.len(), page.scanned_to), (1, 1));
}

/// The end of the log is no error.
pub async fn reading_after_the_end_gives_an_empty_page(store: &impl EventStore) {
    committed(store, to(stream("a"), Expected::NoStream, 2)).await;
    for after in [2, 3, 1_000, u64::MAX] {
        let page = store.read_all(after, 10, &Filter::all()).await.unwrap();
        assert_eq!((page.events.len(), page.scanned_to), (0, after));
    }
}

/// What a filter leaves open admits everything.
pub async fn filters_choose_by_tenant_stream_type_and_event_type(store: &impl EventStore) {
    let tenant = tenant_stream("t1", "a");
    let order = StreamKey::new(None, "conformance.v1.Order", AggregateId::new("o").unwrap());
    committed(store, Commit::append(stream("a"), Expected::Any, vec![event(1), NewEvent::raw("x.Other", "2")])).await;
    committed(store, Commit::append(tenant.clone(), Expected::Any, vec![event(3)])).await;
    committed(store, Commit::append(order, Expected::Any, vec![event(4)])).await;
    let cases = [
        (Filter::all(), vec![1, 2, 3, 4]),
        (Filter::all().event_types([EVENT]), vec![1, 3, 4]),
        (Filter::all().event_types(["x.Other", "x.None"]), vec![2]),
        (Filter::all().event_types(["x.None"]), vec![]),
        (Filter::all().stream_types(["conformance.v1.Order"]), vec![4]),
        (Filter::all().tenant(tenant.tenant.unwrap()), vec![3]),
        (Filter::all().tenant(Tenant::new("t2").unwrap()), vec![]),
        (Filter::all().stream_types([TYPE]).event_types([EVENT]), vec![1, 3]),
    ];
    for (filter, expected) in cases {
        for page in [1, 2, 100] {
            let read = log(store, page, &filter).await;
            let read: Vec<_> = read.iter().map(|event| event.meta.position).collect();
            assert_eq!(read, expected, "{filter:?} in pages of {page}");
        }
    }
}

/// An event that its stream type does not know is wanted; of other stream types it is not.
pub async fn a_filter_can_want_what_a_stream_type_does_not_know(store: &impl EventStore) {
    let order = StreamKey::new(None, "conformance.v1.Order", AggregateId::new("o").unwrap());
    let mixed = || vec![event(1), NewEvent::raw("x.Known", "2"), NewEvent::raw("x.New", "3")];
    committed(store, Commit::append(stream("a"), Expected::Any, mixed())).await;
    committed(store, Commit::append(order.clone(), Expected::Any, mixed())).await;
    committed(store, Commit::append(tenant_stream("t1", "a"), Expected::Any, mixed())).await;
    let wanted = || Filter::all().event_types([EVENT]).or_unknown(TYPE, [EVENT, "x.Known"]);
    let t1 = tenant_stream("t1", "a").tenant.unwrap();
    let cases = [
        (wanted(), vec![1, 3, 4, 7, 9]),
        (wanted().or_unknown("conformance.v1.Order", [EVENT, "x.New"]), vec![1, 3, 4, 5, 7, 9]),
        (wanted().tenant(t1), vec![7, 9]),
        (Filter::all().event_types(["x.None"]).or_unknown(TYPE, [EVENT, "x.Known", "x.New"]), vec![]),
    ];
    for (filter, expected) in cases {
        for page in [1, 100] {
            let read = log(store, page, &filter).await;
            let read: Vec<_> = read.iter().map(|event| event.meta.position).collect();
            assert_eq!(read, expected, "{filter:?} in pages of {page}");
        }
    }
}

/// Each aggregate belongs to one partition, whatever its events.
pub async fn the_partitions_of_a_log_are_the_whole_log(store: &impl EventStore) {
    for n in 0..40 {
        committed(store, to(stream(&format!("s{}", n % 20)), Expected::Any, 1)).await;
    }
    let mut seen = Vec::new();
    for index in 0..4 {
        let part = log(store, 7, &Filter::all().partition(index, 4)).await;
        assert!(part.iter().all(|event| partition_of(event.meta.stream.id.as_str(), 4) == index));
        seen.extend(part.iter().map(|event| event.meta.position));
    }
    seen.sort_unstable();
    assert_eq!(seen, Vec::from_iter(1..=40));
    assert_eq!(log(store, 7, &Filter::all().partition(0, 1)).await.len(), 40);
}

/// One match in many, and the reader still arrives at the head.
pub async fn a_filtered_page_moves_on_over_what_it_leaves_out(store: &impl EventStore) {
    for _ in 0..30 {
        committed(store, to(stream("a"), Expected::Any, 100)).await;
    }
    committed(store, Commit::append(stream("a"), Expected::Any, vec![NewEvent::raw("x.Rare", "found")])).await;
    let found = log(store, 10, &Filter::all().event_types(["x.Rare"])).await;
    assert_eq!(found.iter().map(|event| event.meta.position).collect::<Vec<_>>(), [3_001]);
}

/// Whoever watches learns of each append.
pub async fn the_watch_tells_the_head(store: &impl EventStore) {
    let mut head = store.watch();
    assert_eq!(*head.borrow_and_update(), 0);
    committed(store, to(stream("a"), Expected::NoStream, 3)).await;
    let wait = head.wait_for(|head| *head == 3);
    tokio::time::timeout(std::time::Duration::from_secs(5), wait).await.expect("told within 5 s").unwrap();
    committed(store, to(stream("a"), Expected::Any, 1)).await;
    tokio::time::timeout(std::time::Duration::from_secs(5), head.wait_for(|head| *head == 4)).await.unwrap().unwrap();
}
