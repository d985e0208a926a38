//! Readers of a store that was restored: who has seen events that are gone says so, however late it comes.

use std::time::Duration;

use es_core::{Error, EventLog, Filter, Runner, runner::Running};
use es_nats::{Relay, Subscription};
use es_sqlite::{SqliteProjection, SqliteStore};
use futures_util::TryStreamExt;

use super::readers::{count, deposits};
use crate::support::{Rig, STREAM, append, assert_equal, faulted, fill, log, reached, until};

const PATIENCE: Duration = Duration::from_secs(30);

async fn open(rig: &Rig) -> Subscription {
    Subscription::open(&rig.nats().await, STREAM).await.unwrap()
}

/// The read model over the stream as it is now.
async fn reader(rig: &Rig) -> SqliteProjection {
    deposits().build_over(rig.path("read.db"), open(rig).await).unwrap()
}

async fn relay_of(rig: &Rig, store: &SqliteStore) -> (Relay, Running) {
    let relay = Relay::builder(&rig.nats().await).stream(STREAM).build(store).await.unwrap();
    let running = Runner::new(store.clone()).run(relay.clone()).start().unwrap();
    (relay, running)
}

/// Relays what the store has, and has the read model follow.
async fn followed(rig: &Rig) {
    let relaying = rig.start().await;
    rig.relayed(&relaying).await;
    let projection = reader(rig).await;
    projection.catch_up().await.unwrap();
    projection.close().await;
    relaying.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_away_while_the_store_was_restored_and_grew_past_it_says_so_until_it_is_rebuilt() {
    let rig = Rig::new().await;
    fill(&rig.store, 100).await;
    let restored = rig.restored().await;
    fill(&rig.store, 150).await;
    followed(&rig).await;

    append(&restored, 77, 100).await;
    let (relay, relaying) = relay_of(&rig, &restored).await;
    let said = faulted(&relaying).await;
    assert!(said.contains("at 101, it has another event than the store"), "{said}");
    relay.reseed().await.unwrap();
    relaying.resume("relay:bank").unwrap();
    reached(&relaying, |status| status.checkpoint == 200).await;
    assert_equal(&rig.stream().await, &restored).await;

    let subscription = open(&rig).await;
    assert_eq!((subscription.identity(), subscription.epochs()), (restored.identity(), restored.epochs()));
    let projection = reader(&rig).await;
    let error = projection.catch_up().await.unwrap_err();
    assert!(matches!(error, Error::StoreRestored { checkpoint: 150, restored_to: 100, .. }), "{error}");
    assert_eq!(count(&projection).await, 150, "it is as it was");

    assert_eq!(projection.rebuild().await.unwrap(), 200);
    append(&restored, 1, 5).await;
    let running = Runner::new(subscription.clone()).run(projection.clone()).start().unwrap();
    running.wait_for_position("deposits", 205, PATIENCE).await.unwrap();
    assert_eq!(accounts(&projection).await, accounts_of(&restored).await);
    running.shutdown().await;
    relaying.shutdown().await;
}

/// What the read model has at each position.
async fn accounts(projection: &SqliteProjection) -> Vec<(u64, String)> {
    let read = |row: &es_sqlite::rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    projection.query(|tx| tx.query("SELECT position, account FROM deposit ORDER BY position", (), read)).await.unwrap()
}

/// What it should have.
async fn accounts_of(store: &SqliteStore) -> Vec<(u64, String)> {
    log(store).await.iter().map(|event| (event.meta.position, event.meta.stream.id.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_seen_no_more_than_the_backup_goes_on_after_the_stream_was_made_anew() {
    let rig = Rig::new().await;
    fill(&rig.store, 100).await;
    followed(&rig).await;
    let restored = rig.restored().await;
    fill(&rig.store, 150).await;
    let relaying = rig.start().await;
    rig.relayed(&relaying).await;
    relaying.shutdown().await;

    fill(&restored, 200).await;
    let (relay, relaying) = relay_of(&rig, &restored).await;
    faulted(&relaying).await;
    relay.reseed().await.unwrap();
    relaying.resume("relay:bank").unwrap();
    reached(&relaying, |status| status.checkpoint == 200).await;
    let projection = reader(&rig).await;
    assert_eq!(projection.catch_up().await.unwrap(), 200);
    assert_eq!(accounts(&projection).await, accounts_of(&restored).await);
    relaying.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_runs_all_along_goes_on_where_the_stream_does_and_so_it_does_when_it_comes_back() {
    let rig = Rig::new().await;
    fill(&rig.store, 100).await;
    let relaying = rig.start().await;
    rig.relayed(&relaying).await;
    let subscription = open(&rig).await;
    let projection = deposits().build_over(rig.path("read.db"), subscription.clone()).unwrap();
    let running = Runner::new(subscription.clone()).run(projection.clone()).start().unwrap();
    running.wait_for_position("deposits", 100, PATIENCE).await.unwrap();
    relaying.shutdown().await;

    // The stream is not ahead of the backup.
    let restored = rig.restored().await;
    fill(&restored, 150).await;
    let (_, relaying) = relay_of(&rig, &restored).await;
    running.wait_for_position("deposits", 150, PATIENCE).await.unwrap();
    assert_eq!((subscription.identity(), subscription.epochs()), (restored.identity(), restored.epochs()));
    running.shutdown().await;
    projection.close().await;

    fill(&restored, 200).await;
    reached(&relaying, |status| status.checkpoint == 200).await;
    let projection = reader(&rig).await;
    assert_eq!(projection.catch_up().await.unwrap(), 200, "its checkpoint is of the new epoch");
    assert_eq!(accounts(&projection).await, accounts_of(&restored).await);
    relaying.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_stream_lacks_a_running_reader_gets_from_the_restored_store() {
    let rig = Rig::new().await;
    fill(&rig.store, 100).await;
    let relay = Relay::builder(&rig.nats().await).stream(STREAM).config(|stream| stream.deny_delete = false);
    let relay = relay.build(&rig.store).await.unwrap();
    let relaying = Runner::new(rig.store.clone()).run(relay).start().unwrap();
    rig.relayed(&relaying).await;
    let subscription = open(&rig).await;
    rig.stream().await.delete_message(50).await.unwrap();
    relaying.shutdown().await;

    let restored = rig.restored().await;
    let relay = Relay::builder(&rig.nats().await).stream(STREAM).config(|stream| stream.deny_delete = false);
    let relay = relay.build(&restored).await.unwrap();
    let relaying = Runner::new(restored.clone()).run(relay).start().unwrap();
    append(&restored, 1, 1).await;
    reached(&relaying, |status| status.checkpoint == 101).await;
    assert_eq!(subscription.head().await.unwrap(), 101);
    let page = subscription.read_all(49, 1, &Filter::all()).await.unwrap();
    assert!(page.events == log(&restored).await[49..page.scanned_to as usize] && page.scanned_to >= 50);
    relaying.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_ahead_in_an_epoch_is_not_handed_over_in_another() {
    let rig = Rig::new().await;
    append(&rig.store, 1, 1).await;
    append(&rig.store, 1, 1).await;
    append(&rig.store, 1, 1).await;
    let relay = Relay::builder(&rig.nats().await).stream(STREAM).config(|stream| stream.deny_delete = false);
    let relaying = Runner::new(rig.store.clone()).run(relay.build(&rig.store).await.unwrap()).start().unwrap();
    rig.relayed(&relaying).await;
    relaying.shutdown().await;
    let subscription = open(&rig).await;
    assert_eq!(subscription.read_all(0, 1, &Filter::all()).await.unwrap().scanned_to, 1);
    let mut stream = rig.stream().await;
    let is_read_ahead = async || {
        let consumers: Vec<_> = stream.consumers().try_collect().await.unwrap();
        consumers.iter().any(|consumer| consumer.delivered.consumer_sequence == 2)
    };
    until("the next page to be read", is_read_ahead).await;

    // The stream loses its end, and the store is restored to where the stream ends now.
    stream.delete_message(2).await.unwrap();
    let mut config = stream.info().await.unwrap().config.clone();
    config.metadata.insert("es_epoch".into(), "29".into());
    config.metadata.insert("es_epochs".into(), "29:1".into());
    rig.jetstream().await.update_stream(config).await.unwrap();
    subscription.head().await.unwrap();
    assert_eq!(subscription.identity().epoch, 29);
    let page = subscription.read_all(1, 1, &Filter::all()).await;
    assert!(matches!(page, Err(Error::Unavailable { .. })), "{page:?}");
}
