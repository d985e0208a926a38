//! A commit of which the stream has only some: its relay died in between.

use std::{
    fmt::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use es_core::{
    AggregateId, Commit, EventLog, EventStore, Expected, Filter, HookBuilder, NewEvent, Runner, StreamKey,
    runner::State,
};
use es_nats::Subscription;
use es_sqlite::{SqliteProjection, SqliteProjectionBuilder};
use futures_util::TryStreamExt;
use tracing::{Event, Metadata, Subscriber, field, span};

use crate::support::{Deposited, Rig, STREAM, append, log, until, within};

const PATIENCE: Duration = Duration::from_secs(30);

/// A store with four commits of an event each and one of three (5 to 7), and a stream that ends at 6.
async fn rig() -> Rig {
    let rig = Rig::new().await;
    for id in 0..4 {
        append(&rig.store, id, 1).await;
    }
    rig.run_until_equal(&rig.relay().await, STREAM).await;
    let stream = |id: &str| StreamKey::new(None, "shop.v1.Shop", AggregateId::new(id).unwrap());
    let events = vec![NewEvent::raw("bank.v1.MoneyDeposited", b"5"), NewEvent::raw("shop.v1.Opened", b"6")];
    let commit = Commit::append(stream("s-1"), Expected::NoStream, events);
    let rest = vec![NewEvent::raw("shop.v1.Opened", b"7")];
    rig.store.append(commit.and(stream("s-2"), Expected::NoStream, rest)).await.unwrap();
    rig.run_until_equal(&rig.relay_to("copy").await, "copy").await;
    let jetstream = rig.jetstream().await;
    let copy = jetstream.get_stream("copy").await.unwrap();
    for sequence in [5, 6] {
        let message = copy.get_raw_message(sequence).await.unwrap();
        let subject = message.subject.as_str().replacen("copy.", "evt.", 1);
        jetstream.publish(subject, message.payload).await.unwrap().await.unwrap();
    }
    rig
}

fn deposits() -> SqliteProjectionBuilder {
    SqliteProjection::builder("deposits")
        .migration("CREATE TABLE deposit (position INTEGER PRIMARY KEY) STRICT")
        .on::<Deposited, _>(|tx, _event, meta| tx.run("INSERT INTO deposit VALUES (?1)", [meta.position]))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_catches_up_ends_in_front_of_it() {
    let rig = rig().await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    let projection = deposits().build_over(rig.path("read.db"), subscription.clone()).unwrap();
    assert_eq!(within("it catches up", projection.catch_up()).await.unwrap(), 4);
    assert_eq!(within("it catches up again", projection.catch_up()).await.unwrap(), 4);
    assert_eq!(within("it is rebuilt", projection.rebuild()).await.unwrap(), 4);
    assert_eq!(subscription.head().await.unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_wants_none_of_it_ends_there_too() {
    let rig = rig().await;
    let wants = [
        Filter::all().event_types(["bank.v1.AccountOpened"]),
        Filter::all().event_types(["bank.v1.MoneyDeposited"]),
        Filter::all().stream_types(["bank.v1.Account"]),
    ];
    for filter in wants {
        let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
        assert_eq!(subscription.read_all(0, 100, &filter).await.unwrap().scanned_to, 4, "{filter:?}");
        assert_eq!(subscription.head().await.unwrap(), 4);
    }
    let running = rig.start().await;
    rig.relayed(&running).await;
    let filter = Filter::all().event_types(["bank.v1.AccountOpened"]);
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    assert_eq!(subscription.read_all(0, 100, &filter).await.unwrap().scanned_to, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_goes_on_once_the_rest_is_published() {
    let rig = rig().await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    let projection = deposits().build_over(rig.path("read.db"), subscription.clone()).unwrap();
    let running = Runner::new(subscription.clone()).run(projection.clone()).start().unwrap();
    let status = || running.status("deposits").unwrap();
    let waits = async || status().checkpoint == 4 && matches!(status().state, State::Live);
    until("it has handled what is whole", waits).await;
    assert_eq!(status().lag_events, 2, "it shows that there is more");
    let mut events = subscription.events(4, Filter::all());

    let relaying = rig.start().await;
    rig.relayed(&relaying).await;
    running.wait_for_position("deposits", 7, PATIENCE).await.unwrap();
    let mut rest = Vec::new();
    for _ in 0..3 {
        rest.push(within("the rest", events.try_next()).await.unwrap().unwrap());
    }
    assert_eq!(rest, log(&rig.store).await[4..]);
}

/// Keeps the warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<String>>);

impl field::Visit for Warnings {
    fn record_debug(&mut self, field: &field::Field, value: &dyn std::fmt::Debug) {
        write!(self.0.lock().unwrap(), " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN && metadata.target().starts_with("es_nats")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn the_log_says_what_is_waited_for() {
    let warnings = Warnings::default();
    let _here = tracing::subscriber::set_default(warnings.clone());
    let rig = rig().await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    subscription.read_all(0, 100, &Filter::all()).await.unwrap();
    let said = "a commit is published by half; waiting for its relay to go on";
    until(said, async || warnings.0.lock().unwrap().contains(said)).await;
    let said = warnings.0.lock().unwrap().clone();
    assert!(said.contains("first=5 last=7"), "{said}");
}
