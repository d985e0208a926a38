//! Events that the program does not know: never passed over in silence.

mod support;

use es_core::{AggregateId, Commit, Error, Expected, HookBuilder, NewEvent, StreamKey, Subscriber};
use es_sqlite::{OnFailure, SqliteProjection, SqliteStore};
use support::{
    AccountOpened,
    balances::{balances, both, expected, rows},
    commit, folder, open_account, stream,
};

const FROZEN: &str = "bank.v1.AccountFrozen";

async fn record(store: &SqliteStore, stream: StreamKey, event_type: &str) {
    let event = NewEvent::raw(event_type.to_owned(), b"");
    commit(store, Commit::append(stream, Expected::Any, vec![event])).await.unwrap();
}

#[tokio::test]
async fn an_unknown_event_of_a_hooked_aggregate_stops_the_projection() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    record(&store, stream("a"), FROZEN).await;
    open_account(&store, "b").await;
    for projection in both(&path, &store).await {
        let error = projection.catch_up().await.unwrap_err();
        let Error::ProjectionFaulted { position: 2, source, .. } = error else { panic!("{error}") };
        let Some(Error::UnknownEventType { stream: of, event_type, position }) = source.downcast_ref() else {
            panic!("{source}")
        };
        assert_eq!((of, event_type.as_str(), *position), (&stream("a"), FROZEN, 2));
        assert_eq!(rows(&projection).await, expected(&[("a", 0)]));
    }
    // What is to be done about it can be said.
    let ignoring = balances().ignore(FROZEN).build(&store).unwrap();
    assert_eq!(ignoring.catch_up().await.unwrap(), 3);
    assert_eq!(rows(&ignoring).await, expected(&[("a", 0), ("b", 0)]));
}

#[tokio::test]
async fn an_unknown_event_is_a_failure_like_any_other() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    record(&store, stream("a"), FROZEN).await;
    open_account(&store, "b").await;
    let parking = balances().on_failure(OnFailure::ParkAggregate).build(&store).unwrap();
    assert_eq!(parking.catch_up().await.unwrap(), 3);
    assert_eq!(parking.parked().await.unwrap()[0].position, 2);
    parking.release(&stream("a")).await.unwrap_err();
    // A newer program knows the event and has no hook for it.
    let newer = balances().ignore(FROZEN).build(&store).unwrap();
    assert_eq!(newer.release(&stream("a")).await.unwrap(), 1);

    let halting = balances().build_in(path.with_file_name("read.db"), &store).unwrap();
    halting.catch_up().await.unwrap_err();
    halting.skip(2).await.unwrap();
    assert_eq!(halting.catch_up().await.unwrap(), 3);
}

#[tokio::test]
async fn events_that_are_known_and_not_hooked_are_not_even_read() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    for _ in 0..3 {
        record(&store, stream("a"), "bank.v1.Other").await;
    }
    open_account(&store, "b").await;
    let projection = balances().build(&store).unwrap();
    let progress = projection.advance(&store, 0).await.unwrap();
    assert_eq!((progress.checkpoint, progress.handled), (4, 1));
}

#[tokio::test]
async fn events_of_other_aggregates_may_be_anything() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let loan = StreamKey::new(None, "bank.v1.Loan", AggregateId::new("l").unwrap());
    record(&store, loan, FROZEN).await;
    open_account(&store, "a").await;
    let projection = balances().build(&store).unwrap();
    let progress = projection.advance(&store, 0).await.unwrap();
    assert_eq!((progress.checkpoint, progress.handled), (2, 1));
}

#[tokio::test]
async fn a_hook_by_the_events_type_alone_says_nothing_of_its_aggregate() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    record(&store, stream("a"), FROZEN).await;
    let projection = SqliteProjection::builder("p").on::<AccountOpened, _>(|_, _, _| Ok(())).build(&store).unwrap();
    assert_eq!(projection.catch_up().await.unwrap(), 2);
}
