//! Events that the program does not know: projections and reactors don't pass over them in silence.

mod bank;

use bank::{AccountHooks, Opened};
use es_core::{
    Commit, Error, Event, EventStore, Expected, HookBuilder, LocalBus, MemoryStore, NewEvent, Projection, Reactor,
    StartFrom, StreamKey, Subscriber,
};

const FROZEN: &str = "bank.v1.AccountFrozen";

async fn record(store: &MemoryStore, stream_type: &str, event_type: &'static str) {
    let stream = StreamKey::new(None, stream_type, "a".try_into().unwrap());
    let event = NewEvent::raw(event_type, b"");
    store.append(Commit::append(stream, Expected::Any, vec![event])).await.unwrap();
}

/// An account that is opened, frozen, and opened once more.
async fn frozen() -> MemoryStore {
    let store = MemoryStore::new();
    for event_type in [Opened::TYPE, FROZEN, Opened::TYPE] {
        record(&store, "bank.v1.Account", event_type).await;
    }
    store
}

async fn stops_at_the_unknown_event(subscriber: impl Subscriber, store: &MemoryStore) {
    let error = subscriber.advance(store, 0).await.unwrap_err();
    let Error::ProjectionFaulted { position: 2, source, .. } = error else { panic!("{error}") };
    let Some(Error::UnknownEventType { event_type, position: 2, .. }) = source.downcast_ref() else {
        panic!("{source}")
    };
    assert_eq!(event_type, FROZEN);
    assert_eq!(subscriber.checkpoint(0).await.unwrap(), 1, "it stands right before the event");
}

async fn goes_on_to_the_end(subscriber: impl Subscriber, store: &MemoryStore) {
    let progress = subscriber.advance(store, 0).await.unwrap();
    assert_eq!((progress.checkpoint, progress.handled), (3, 2));
}

#[tokio::test]
async fn an_unknown_event_of_a_hooked_aggregate_stops_a_projection_unless_it_is_ignored() {
    let store = frozen().await;
    let noting = |name| Projection::builder(name).on_opened(async |_, _| Ok(()));
    stops_at_the_unknown_event(noting("noting").build(&store).await.unwrap(), &store).await;
    goes_on_to_the_end(noting("ignoring").ignore(FROZEN).build(&store).await.unwrap(), &store).await;
}

#[tokio::test]
async fn an_unknown_event_of_a_hooked_aggregate_stops_a_reactor_unless_it_is_ignored() {
    let store = frozen().await;
    let reacting = |name| {
        let reactor = Reactor::builder(name, LocalBus::new().transport(), StartFrom::Beginning);
        reactor.on_opened(async |_, _, _| Ok(()))
    };
    stops_at_the_unknown_event(reacting("reacting").build(&store).await.unwrap(), &store).await;
    goes_on_to_the_end(reacting("ignoring").ignore(FROZEN).build(&store).await.unwrap(), &store).await;
}

#[tokio::test]
async fn events_of_other_aggregates_may_be_anything() {
    let store = MemoryStore::new();
    record(&store, "bank.v1.Loan", FROZEN).await;
    for _ in 0..2 {
        record(&store, "bank.v1.Account", Opened::TYPE).await;
    }
    let noting = Projection::builder("noting").on_opened(async |_, _| Ok(()));
    goes_on_to_the_end(noting.build(&store).await.unwrap(), &store).await;
}

#[tokio::test]
async fn a_hook_by_the_events_type_alone_says_nothing_of_its_aggregate() {
    let store = frozen().await;
    let noting = Projection::builder("noting").on::<Opened, _>(async |_, _| Ok(()));
    goes_on_to_the_end(noting.build(&store).await.unwrap(), &store).await;
}
