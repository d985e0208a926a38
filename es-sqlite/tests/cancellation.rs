//! Futures that are dropped, stores that are closed, code that panics: the writer goes on or ends in order.

mod support;

use std::{
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use es_core::{Answer, CommandId, CommandRecord, Commit, Error, EventLog, EventStore, Expected, Retry};
use es_sqlite::SqliteStore;
use support::{append, assert_sound, events, folder, log, payloads, stream};

/// Polls a future once, whatever comes of it.
fn poll_once<F: Future + Unpin>(future: &mut F) -> bool {
    matches!(Pin::new(future).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_))
}

#[tokio::test]
async fn an_append_that_is_dropped_after_any_number_of_polls_is_stored_whole_or_not_at_all() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let id = |n: u64| CommandId::new(format!("c-{n}")).unwrap();
    for n in 0..60 {
        let answer = Answer::Accepted(vec![]);
        let record = CommandRecord { id: id(n), payload_hash: [0; 32], answer, stream: stream("a"), version: 0 };
        let mut dropped = store.append(Commit::append(stream("a"), Expected::Any, events(2)).command(record));
        for poll in 0..n % 5 {
            if poll_once(&mut dropped) {
                break;
            }
            std::thread::sleep(Duration::from_micros(poll * 100));
        }
    }
    append(&store, "after", 1).await;
    let log = log(&store).await;
    assert_sound(&log);
    for n in 0..60 {
        let stored =
            log.iter().filter(|event| event.meta.origin().unwrap().command_id == Some(id(n).to_string())).count();
        let known = store.outcome(None, &id(n)).await.unwrap().is_some();
        assert_eq!(stored, if known { 2 } else { 0 }, "command {n}");
        assert_eq!(known, n % 5 > 0, "a commit is handed over with the first poll");
    }
}

#[tokio::test]
async fn a_future_that_is_dropped_leaves_the_writer_unharmed() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    for n in 0..50 {
        let dropped = store.append(Commit::append(stream("dropped"), Expected::Any, events(1)));
        let _ = tokio::time::timeout(Duration::from_micros(n * 7), dropped).await;
    }
    append(&store, "after", 1).await;
    let log = log(&store).await;
    assert_sound(&log);
    assert!(log.iter().any(|event| *event.meta.stream == stream("after")));
}

#[tokio::test]
async fn what_was_handed_over_before_the_last_clone_went_is_written() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let mut handed_over = store.append(Commit::append(stream("a"), Expected::Any, events(1)));
    // The first poll hands the commit over.
    poll_once(&mut handed_over);
    drop(handed_over);
    drop(store);
    let store = SqliteStore::open(&path).await.unwrap();
    let mut head = store.watch();
    tokio::time::timeout(Duration::from_secs(5), head.wait_for(|head| *head == 1)).await.unwrap().unwrap();
}

#[tokio::test]
async fn shutting_down_writes_what_is_queued_and_refuses_what_comes_later() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let clone = store.clone();
    let (stored, closed) = tokio::join!(clone.append(Commit::append(stream("a"), Expected::Any, events(1))), async {
        tokio::task::yield_now().await;
        store.shutdown().await
    });
    assert!(stored.is_ok());
    closed.unwrap();
    let refused = clone.append(Commit::append(stream("a"), Expected::Any, events(1))).await.unwrap_err();
    assert!(matches!(refused, Error::ShuttingDown), "{refused}");
    assert_eq!(refused.retry(), Retry::Safe);
    assert!(matches!(clone.head().await, Err(Error::ShuttingDown)));
    assert!(matches!(clone.shutdown().await, Err(Error::ShuttingDown)));
    let again = SqliteStore::open(&path).await.unwrap();
    assert_eq!(again.head().await.unwrap(), 1);
}

#[tokio::test]
async fn a_visitor_that_panics_leaves_the_readers_usable() {
    let (_folder, path) = folder();
    let store = SqliteStore::builder(&path).readers(1).open().await.unwrap();
    append(&store, "a", 3).await;
    for _ in 0..5 {
        let store = store.clone();
        let task = tokio::spawn(async move {
            let mut visit =
                |_: es_core::RecordedRef<'_>| -> es_core::Result<ControlFlow<()>> { panic!("a bad applier") };
            store.fold(&stream("a"), 0, &mut visit).await
        });
        assert!(task.await.unwrap_err().is_panic());
    }
    assert_eq!(payloads(&store, "a", 0).await.unwrap().len(), 3);
}
