//! Futures that are dropped after any number of polls, by many tasks at once.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use es_core::{Commit, EventLog, EventStore, Expected, NewEvent};
use es_sqlite::SqliteStore;
use torture::{checker::Checker, effort, journal::Journal, table::Row, work};

use crate::support::{folder, run};

/// Gives up when it would be polled once more.
struct AtMost<F>(F, u64);

impl<F: Future + Unpin> Future for AtMost<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.1 == 0 {
            return Poll::Ready(None);
        }
        self.1 -= 1;
        Pin::new(&mut self.0).poll(context).map(Some)
    }
}

#[test]
fn an_append_dropped_at_any_await_is_stored_whole_or_not_at_all() {
    let test = "dropped futures";
    let mut rng = effort::lots(test);
    let (rounds, mut dropped) = (effort::times(20, 1_000), 0);
    let (_folder, path) = folder();
    let mut checker = Checker::new();
    run(async {
        let store = SqliteStore::open(&path).await.unwrap();
        let journal = Arc::new(Journal::in_memory());
        for round in 0..rounds {
            let tasks: Vec<_> = (0..16)
                .map(|task| {
                    let (store, journal, mut rng) = (store.clone(), Arc::clone(&journal), rng.fork());
                    tokio::spawn(async move {
                        let mut dropped = 0;
                        for number in 0..4 {
                            let ask = work::by_lot(&mut rng, &format!("r{round}x{task}"), number);
                            let append = Box::pin(ask.append(&store, &journal));
                            let polls = rng.u64(..4);
                            let outcome = match rng.bool() {
                                true => AtMost(append, polls).await,
                                false => {
                                    let wait = std::time::Duration::from_micros(rng.u64(..800));
                                    tokio::time::timeout(wait, append).await.ok()
                                }
                            };
                            dropped += u64::from(outcome.is_none());
                        }
                        dropped
                    })
                })
                .collect();
            for task in tasks {
                dropped += task.await.unwrap();
            }
            // What was handed over is stored by the time a later commit is.
            work::by_lot(&mut rng, &format!("after{round}"), 0).append(&store, &journal).await.unwrap();
            checker.learn(journal.take());
            checker.check(&store).await;
        }
        checker.check_whole(&store).await;
        store.shutdown().await.unwrap();
    });
    Row { rounds, seeds: 1, acknowledged: checker.acknowledged(), ..Row::default() }.close(test, checker.violations());
    assert!(dropped > rounds, "only {dropped} futures were dropped");
}

#[test]
fn an_append_dropped_while_it_waits_for_room_gives_its_place_back() {
    let (_folder, path) = folder();
    run(async {
        let store = SqliteStore::open(&path).await.unwrap();
        let big = |id: &str| {
            let events = (0..30).map(|_| NewEvent::raw("torture.v1.Big", vec![7; 240 << 10])).collect();
            store.append(Commit::append(work::stream(id), Expected::NoStream, events))
        };
        for round in 0..2 {
            // More than there is room for, each polled once; most are dropped, some of them waiting.
            let ids: Vec<_> = (0..14).map(|n| format!("{round}-{n}")).collect();
            let all: Vec<_> = ids.iter().map(|id| AtMost(big(id), 2)).collect();
            let _ = futures_util::future::join_all(all).await;
        }
        // All the room is there again.
        let ids: Vec<_> = (0..6).map(|n| format!("last-{n}")).collect();
        for stored in futures_util::future::join_all(ids.iter().map(|id| big(id))).await {
            stored.unwrap();
        }
        let mut after = 0;
        loop {
            let page = store.read_all(after, 1, &es_core::Filter::all()).await.unwrap();
            if page.scanned_to == after {
                break;
            }
            assert!(page.events.iter().all(|event| event.meta.commit_last - event.meta.commit_first == 29));
            after = page.scanned_to;
        }
        assert_eq!(after % 30, 0);
    });
}
