//! What a process holds in memory whose readers stand still while the stream grows.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use es_core::{
    AggregateId, Commit, EventLog, EventStore, Expected, Filter, HookBuilder, NewEvent, Projection, Runner, StreamKey,
};
use es_nats::{Nats, Subscription};
use es_sqlite::SqliteStore;
use futures_util::TryStreamExt;
use tokio::sync::Semaphore;

use crate::{
    support::{
        Deposited, PATIENCE, Rig, STREAM, is_long,
        memory::Memory,
        process::{Child, argument, role, until_orphaned},
        until,
    },
    test_name,
};

/// For each of the two readers, 9 MiB read ahead, as much in hand, and what the allocator keeps.
const BOUND: u64 = 48;

/// How many events, of how many bytes: at least twice the bound in all.
fn stream() -> (u64, usize) {
    if is_long() { (200_000, 1 << 10) } else { (12_800, 8 << 10) }
}

async fn record(store: &SqliteStore, head: u64, bytes: usize) {
    let stream = StreamKey::new(None, "bank.v1.Account", AggregateId::new("acc.1").unwrap());
    for _ in store.head().await.unwrap() / 100..head / 100 {
        let events = (0..100).map(|n| NewEvent::raw("bank.v1.MoneyDeposited", vec![n; bytes])).collect();
        store.append(Commit::append(stream.clone(), Expected::Any, events)).await.unwrap();
    }
}

/// This test starts itself as another process, the one with the readers.
#[tokio::test(flavor = "multi_thread")]
async fn readers_that_stand_still_hold_no_more_than_what_they_read_ahead() {
    if role().is_some() {
        return stand_still().await;
    }
    let ((events, bytes), rig) = (stream(), Rig::new().await);
    let relaying = rig.start().await;
    record(&rig.store, events / 2, bytes).await;
    rig.relayed(&relaying).await;
    let test = test_name!(readers_that_stand_still_hold_no_more_than_what_they_read_ahead);
    let checkpoints = rig.path("checkpoints.db");
    let arguments = [("NATS_URL", &*rig.server.url()), ("CHECKPOINTS", checkpoints.to_str().unwrap())];
    let reader = Child::start(test, "reader", &arguments);
    until("the readers stand still", async || reader.last().ends_with("still")).await;
    record(&rig.store, events, bytes).await;
    rig.relayed(&relaying).await;
    until("the readers have gone on", async || reader.last().ends_with("went on")).await;
}

/// One whose hook waits, and one that nobody asks for the next event, until the stream has grown.
async fn stand_still() {
    let (goal, _) = stream();
    let log = Subscription::open(&Nats::connect(argument("NATS_URL")).await.unwrap(), STREAM).await.unwrap();
    let checkpoints = SqliteStore::open(argument("CHECKPOINTS")).await.unwrap();
    let memory = Memory::watch();
    let (may, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU64::new(0)));
    let projection = Projection::builder("still").with((may.clone(), begun.clone())).on::<Deposited, _>(
        async |(may, begun): (Arc<Semaphore>, Arc<AtomicU64>), _event, _meta| {
            begun.fetch_add(1, Ordering::SeqCst);
            drop(may.acquire().await);
            Ok(())
        },
    );
    let projection = projection.build_over(&log, checkpoints).await.unwrap();
    let running = Runner::new(log.clone()).run(projection).start().unwrap();
    let mut events = log.events(0, Filter::all());
    events.try_next().await.unwrap().unwrap();
    until("the hook waits", async || begun.load(Ordering::SeqCst) == 1).await;
    println!("still");

    let mut head = log.watch();
    head.wait_for(|head| *head == goal).await.unwrap();
    assert_eq!(begun.load(Ordering::SeqCst), 1);
    memory.stayed_within(BOUND, "two readers that stand still");

    may.add_permits(1);
    running.wait_for_position("still", goal, PATIENCE).await.unwrap();
    for position in 2..=goal {
        assert_eq!(events.try_next().await.unwrap().unwrap().meta.position, position);
    }
    memory.stayed_within(BOUND, "two readers that went on");
    println!("went on");
    until_orphaned().await;
}
