//! What is read while a page is handled, and how much of it.

use es_core::{EventLog, Filter};
use es_nats::Subscription;
use futures_util::{StreamExt, TryStreamExt};

use crate::support::{Rig, STREAM, append, log, until};

const LIMIT: usize = 100;

/// A stream of single events, and a reader of it.
async fn rig(events: u64) -> (Rig, Subscription) {
    let rig = Rig::new().await;
    for id in 0..events {
        append(&rig.store, id, 1).await;
    }
    let running = rig.start().await;
    rig.relayed(&running).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    (rig, subscription)
}

/// How many messages the readers of the stream were sent; that one which hears of new ones is sent none.
async fn sent(rig: &Rig) -> u64 {
    let consumers: Vec<_> = rig.stream().await.consumers().try_collect().await.unwrap();
    consumers.iter().map(|consumer| consumer.delivered.consumer_sequence).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_page_is_there_when_the_reader_comes_back() {
    let (mut rig, subscription) = rig(300).await;
    for (nth, filter) in [Filter::all(), Filter::all().stream_types(["bank.v1.Account"])].iter().enumerate() {
        let page = subscription.read_all(0, LIMIT, filter).await.unwrap();
        assert_eq!(page.scanned_to, 100);
        let both = (nth as u64 + 1) * 200;
        until("the next page is sent", async || sent(&rig).await == both).await;
    }
    let stored = log(&rig.store).await;
    rig.server.kill();
    let page = subscription.read_all(100, LIMIT, &Filter::all()).await.unwrap();
    assert_eq!(page.events, stored[100..200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_come_back_is_sent_one_page_more_and_no_other() {
    let (rig, subscription) = rig(1_000).await;
    subscription.read_all(0, LIMIT, &Filter::all()).await.unwrap();
    until("the next page is sent", async || sent(&rig).await == 200).await;
    let mut after = 500;
    while after < 1_000 {
        after = subscription.read_all(after, LIMIT, &Filter::all()).await.unwrap().scanned_to;
    }
    until("the other reader's pages are sent", async || sent(&rig).await == 200 + 500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_ahead_is_handed_over_in_pages_as_short_as_is_asked_for() {
    let (rig, subscription) = rig(300).await;
    subscription.read_all(0, LIMIT, &Filter::all()).await.unwrap();
    until("the next page is sent", async || sent(&rig).await == 200).await;
    for after in [100, 110, 120] {
        let page = subscription.read_all(after, 10, &Filter::all()).await.unwrap();
        assert_eq!((page.events.len(), page.scanned_to), (10, after + 10));
    }
    assert_eq!(sent(&rig).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_page_is_short_of_a_whole_commit_is_asked_for_at_once() {
    let rig = Rig::new().await;
    append(&rig.store, 1, 500).await;
    let running = rig.start().await;
    rig.relayed(&running).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    let observer = rig.nats().await.client();
    let mut asked = observer.subscribe(format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.>")).await.unwrap();
    observer.flush().await.unwrap();
    let page = subscription.read_all(0, LIMIT, &Filter::all()).await.unwrap();
    assert_eq!((page.events.len(), page.scanned_to), (500, 500));
    // What was asked before this has come before this.
    observer.publish(format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.end"), "".into()).await.unwrap();
    let mut questions = 0;
    while !asked.next().await.unwrap().subject.ends_with(".end") {
        questions += 1;
    }
    assert!(questions < 5, "{questions}");
}
