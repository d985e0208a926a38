//! The fixture read models are tested with.

#[path = "../../es-core/tests/bank/mod.rs"]
mod bank;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use bank::{Account, AccountEvent, AccountHooks, Changed, Opened};
use es_core::{EventLog, Subscriber, Timestamp};
use es_sqlite::{
    OnFailure, SqliteProjection, SqliteProjectionBuilder,
    testing::{ReadModel, read_model},
};

const TABLES: &str = "CREATE TABLE balance (id TEXT PRIMARY KEY, owner TEXT NOT NULL, cents INTEGER NOT NULL) STRICT;
                      CREATE TABLE change (cents INTEGER NOT NULL, at INTEGER NOT NULL) STRICT";

fn balances() -> SqliteProjectionBuilder {
    SqliteProjection::builder("balances")
        .migration(TABLES)
        .on_opened(|tx, event, meta| {
            tx.run("INSERT INTO balance VALUES (?1, ?2, 0)", (meta.stream.id.as_str(), &event.owner))
        })
        .on_changed(|tx, event, meta| {
            tx.run("INSERT INTO change VALUES (?1, ?2)", (event.cents, meta.recorded_at.as_micros()))?;
            tx.run("UPDATE balance SET cents = cents + ?2 WHERE id = ?1", (meta.stream.id.as_str(), event.cents))
        })
}

fn opened(owner: &str) -> Opened {
    Opened { owner: owner.into() }
}

fn changed(cents: i64) -> Changed {
    Changed { cents }
}

async fn cents(model: &ReadModel, id: &str) -> i64 {
    model.query(|tx| tx.query_row("SELECT cents FROM balance WHERE id = ?1", [id], |row| row.get(0))).await
}

async fn a_bank(builder: SqliteProjectionBuilder) -> ReadModel {
    read_model(builder)
        .given::<Account>("a", [opened("Ada")])
        .given::<Account>("b", [AccountEvent::from(opened("Bob")), changed(1).into()])
        .given::<Account>("a", [changed(4), changed(3)])
        .await
}

#[tokio::test]
async fn given_events_are_in_the_read_model_when_it_is_looked_at() {
    let model = a_bank(balances()).await;
    assert_eq!((cents(&model, "a").await, cents(&model, "b").await), (7, 1));
    let model = model.given::<Account>("b", [changed(9)]).await;
    assert_eq!(cents(&model, "b").await, 10);
}

#[tokio::test]
async fn the_clock_stands_where_the_test_puts_it_and_a_tenant_has_accounts_of_its_own() {
    let model = read_model(balances().tenant("acme".try_into().unwrap()))
        .given::<Account>("a", [opened("Ada")])
        .tenant("acme")
        .after(Duration::from_secs(1))
        .given::<Account>("a", [AccountEvent::from(opened("of acme")), changed(1).into()])
        .at(Timestamp::from_micros(1_893_456_000_000_000))
        .given::<Account>("a", [changed(2)])
        .await;
    let owner: String = model.query(|tx| tx.query_row("SELECT owner FROM balance", (), |row| row.get(0))).await;
    let at: Vec<i64> = model.query(|tx| tx.query("SELECT at FROM change ORDER BY at", (), |row| row.get(0))).await;
    assert_eq!((owner.as_str(), at), ("of acme", vec![1_767_225_601_000_000, 1_893_456_000_000_000]));
}

#[tokio::test]
async fn a_read_model_made_of_events_alone_is_the_same_after_a_rebuild_and_a_redelivery() {
    for partitions in [1, 3] {
        for on_failure in [OnFailure::Halt, OnFailure::ParkAggregate] {
            let model = a_bank(balances().partitions(partitions).on_failure(on_failure)).await;
            let model = model.then_rebuild_equals_live().await.then_redelivery_changes_nothing().await;
            let model = model.given::<Account>("a", [changed(100)]).await.then_rebuild_equals_live().await;
            assert_eq!(cents(&model, "a").await, 107);
        }
    }
}

#[tokio::test]
async fn what_is_parked_stays_parked_and_makes_no_difference() {
    let unlucky =
        balances().on_failure(OnFailure::ParkAggregate).retries(0).on_changed(|_, event, _| match event.cents {
            13 => Err("not 13".into()),
            _ => Ok(()),
        });
    let model = a_bank(unlucky).await.given::<Account>("a", [changed(13)]).given::<Account>("a", [changed(1)]).await;
    let model = model.then_rebuild_equals_live().await.then_redelivery_changes_nothing().await;
    let parked = model.projection().parked().await.unwrap();
    assert_eq!((parked.len(), cents(&model, "a").await, cents(&model, "b").await), (2, 7, 1));
}

/// Numbers rows by a counter of the program.
fn counting() -> SqliteProjectionBuilder {
    let counter = AtomicI64::new(0);
    SqliteProjection::builder("counting")
        .migration("CREATE TABLE numbered (number INTEGER NOT NULL, owner TEXT)")
        .on_opened(move |tx, event, _| {
            tx.run("INSERT INTO numbered VALUES (?1, ?2)", (counter.fetch_add(1, Ordering::SeqCst), &event.owner))
        })
}

#[tokio::test]
#[should_panic(expected = "the rebuilt read model is not the live one: table `numbered`
  live: number = 0, owner = 'Ada'
  rebuilt: number = 2, owner = 'Ada'")]
async fn a_hook_that_counts_by_itself_does_not_come_through_a_rebuild() {
    a_bank(counting()).await.then_rebuild_equals_live().await;
}

#[tokio::test]
#[should_panic(expected = "the rows are others after a page that was broken off came again: table `numbered`
  before: number = 0, owner = 'Ada'
  after: number = 4, owner = 'Ada'")]
async fn a_hook_that_counts_by_itself_does_not_come_through_a_redelivery() {
    a_bank(counting()).await.then_redelivery_changes_nothing().await;
}

fn kept() -> SqliteProjectionBuilder {
    SqliteProjection::builder("kept").migration("CREATE TABLE kept (id TEXT PRIMARY KEY, value ANY) STRICT")
}

#[tokio::test]
#[should_panic(expected = "table `kept`\n  live: id = 'a', value = x'")]
async fn a_hook_that_draws_a_random_number_does_not_come_through_a_rebuild() {
    let random = kept()
        .on_opened(|tx, _, meta| tx.run("INSERT INTO kept VALUES (?1, randomblob(16))", [meta.stream.id.as_str()]));
    a_bank(random).await.then_rebuild_equals_live().await;
}

#[tokio::test]
#[should_panic(expected = "must follow from its event and from the rows alone, and not from a clock")]
async fn a_hook_that_reads_a_clock_does_not_come_through_a_rebuild() {
    let begun = Instant::now();
    let timed = kept().on_opened(move |tx, _, meta| {
        let nanos = i64::try_from(begun.elapsed().as_nanos())?;
        tx.run("INSERT INTO kept VALUES (?1, ?2)", (meta.stream.id.as_str(), nanos))
    });
    a_bank(timed).await.then_rebuild_equals_live().await;
}

#[tokio::test]
async fn rows_are_compared_whatever_their_order_and_however_often_they_are_there() {
    let twice = SqliteProjection::builder("twice")
        .migration("CREATE TABLE seen (cents ANY) STRICT")
        .migration("CREATE VIRTUAL TABLE words USING fts5(word)")
        .on_opened(|tx, event, _| tx.run("INSERT INTO words VALUES (?1)", [&event.owner]))
        .on_changed(|tx, event, _| {
            tx.run("INSERT INTO seen VALUES (?1)", [event.cents % 2])?;
            tx.run("INSERT INTO seen VALUES (?1)", [0.5])
        });
    a_bank(twice).await.then_rebuild_equals_live().await.then_redelivery_changes_nothing().await;
}

#[tokio::test]
#[should_panic(
    expected = "a read model that handles what was given: `balances` stopped at position 2\n  caused by: no"
)]
async fn a_hook_that_refuses_a_given_event_fails_the_test_with_its_reason() {
    let refusing = balances().retries(0).on_changed(|_, _, _| Err("no".into()));
    let _ = read_model(refusing).given::<Account>("a", [opened("Ada")]).given::<Account>("a", [changed(1)]).await;
}

#[tokio::test]
#[should_panic(expected = "no events were given: there is nothing to redeliver")]
async fn without_events_nothing_can_be_redelivered() {
    read_model(balances()).await.then_redelivery_changes_nothing().await;
}

#[tokio::test]
async fn the_folder_goes_with_the_read_model() {
    let model = a_bank(balances()).await;
    let folder = PathBuf::from(model.store().path()).parent().unwrap().to_owned();
    assert_eq!((model.store().head().await.unwrap(), model.projection().checkpoint(0).await.unwrap()), (5, 5));
    assert!(folder.exists());
    drop(model);
    assert!(!folder.exists());
}
