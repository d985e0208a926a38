//! What has followed a store that was restored: it goes on where it has seen nothing that is gone, and otherwise says so.

mod support;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use es_core::{
    CheckpointStore, Error, EventLog, HookBuilder, LocalBus, Reactor, Runner, StartFrom, Subscriber, runner::State,
};
use es_sqlite::{SqliteProjection, SqliteStore};
use support::{
    AccountHooks, MoneyDeposited,
    balances::{TABLE, balances, expected, rows},
    deposit, folder, open_account,
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);

/// A bank with account `a` of which a backup was made.
struct Bank {
    _folder: TempDir,
    path: PathBuf,
    store: SqliteStore,
}

impl Bank {
    /// With the account opened at position 1, and so many deposits of 1.
    async fn with_deposits(count: u64) -> Self {
        let (_folder, path) = folder();
        let store = SqliteStore::open(&path).await.unwrap();
        open_account(&store, "a").await;
        for _ in 0..count {
            deposit(&store, &[("a", 1)]).await;
        }
        store.backup(path.with_file_name("backup.db")).await.unwrap();
        Self { _folder, path, store }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.with_file_name(name)
    }

    /// Loses the store and restores it from the backup.
    async fn restored(mut self) -> Self {
        self.store.shutdown().await.unwrap();
        std::fs::remove_file(&self.path).unwrap();
        SqliteStore::restore(self.file("backup.db"), &self.path).await.unwrap();
        self.store = SqliteStore::open(&self.path).await.unwrap();
        self
    }

    /// The read model in a file of its own, brought up to date.
    async fn followed(&self) -> SqliteProjection {
        let projection = balances().build_in(self.file("read.db"), &self.store).unwrap();
        projection.catch_up().await.unwrap();
        projection
    }
}

#[tokio::test]
async fn a_read_model_that_has_seen_no_more_than_the_backup_goes_on_in_the_new_epoch() {
    let bank = Bank::with_deposits(2).await;
    bank.followed().await.close().await;
    deposit(&bank.store, &[("a", 100)]).await;
    let bank = bank.restored().await;
    for cents in [10, 20] {
        deposit(&bank.store, &[("a", cents)]).await;
        let projection = bank.followed().await;
        projection.close().await;
    }
    assert_eq!(rows(&bank.followed().await).await, expected(&[("a", 32)]));
}

#[tokio::test]
async fn one_that_has_seen_what_is_gone_says_so_also_when_the_store_has_grown_past_it() {
    let bank = Bank::with_deposits(2).await;
    deposit(&bank.store, &[("a", 100)]).await;
    bank.followed().await.close().await;
    let bank = bank.restored().await;
    let projection = balances().build_in(bank.file("read.db"), &bank.store).unwrap();
    for cents in [0, 10, 20] {
        if cents > 0 {
            deposit(&bank.store, &[("a", cents)]).await;
        }
        let error = projection.catch_up().await.unwrap_err();
        assert!(matches!(error, Error::StoreRestored { checkpoint: 4, restored_to: 3, .. }), "{error}");
    }
    let error = projection.release_all().await.and(projection.release(&support::stream("a")).await).unwrap_err();
    assert!(matches!(error, Error::StoreRestored { .. }), "{error}");
    assert_eq!(rows(&projection).await, expected(&[("a", 102)]), "it is as it was");

    assert_eq!(projection.rebuild().await.unwrap(), 5);
    assert_eq!(rows(&projection).await, expected(&[("a", 32)]));
    deposit(&bank.store, &[("a", 5)]).await;
    projection.catch_up().await.unwrap();
    assert_eq!(rows(&projection).await, expected(&[("a", 37)]));
}

#[tokio::test]
async fn a_reset_mends_it_as_well() {
    let bank = Bank::with_deposits(0).await;
    deposit(&bank.store, &[("a", 100)]).await;
    bank.followed().await.close().await;
    let bank = bank.restored().await;
    deposit(&bank.store, &[("a", 7)]).await;
    let projection = balances().build_in(bank.file("read.db"), &bank.store).unwrap();
    projection.catch_up().await.unwrap_err();
    projection.reset().await.unwrap();
    projection.catch_up().await.unwrap();
    assert_eq!(rows(&projection).await, expected(&[("a", 7)]));
}

#[tokio::test]
async fn a_runner_shows_it_and_a_rebuild_through_it_goes_on() {
    let bank = Bank::with_deposits(1).await;
    deposit(&bank.store, &[("a", 100)]).await;
    bank.followed().await.close().await;
    let bank = bank.restored().await;
    let projection = balances().build_in(bank.file("read.db"), &bank.store).unwrap();
    let running = Runner::new(bank.store.clone()).run(projection.clone()).start().unwrap();
    let at = deposit(&bank.store, &[("a", 10)]).await.position;
    running.wait_for_position("balances", at, PATIENCE).await.unwrap_err();
    let State::Faulted(error) = running.status("balances").unwrap().state else { panic!("it runs") };
    assert!(matches!(*error, Error::StoreRestored { checkpoint: 3, restored_to: 2, .. }), "{error}");
    running.rebuild(&projection).await.unwrap();
    let at = deposit(&bank.store, &[("a", 20)]).await.position;
    running.wait_for_position("balances", at, PATIENCE).await.unwrap();
    assert_eq!(rows(&projection).await, expected(&[("a", 31)]));
    running.shutdown().await;
}

#[tokio::test]
async fn read_models_in_the_stores_file_come_back_with_it() {
    let (_folder, path) = folder();
    let at = |name: &str| path.with_file_name(name);
    let store = SqliteStore::open(&path).await.unwrap();
    let inline = |store: &SqliteStore| {
        let sum = SqliteProjection::builder("sum").migration("CREATE TABLE sum (cents INTEGER NOT NULL) STRICT");
        let sum = sum.on_money_deposited(|tx, event, _| {
            tx.execute("INSERT INTO sum VALUES (?1)", [event.cents])?;
            Ok(())
        });
        sum.build_inline(store).unwrap()
    };
    let (beside, within) = (balances().build(&store).unwrap(), inline(&store));
    open_account(&store, "a").await;
    deposit(&store, &[("a", 1)]).await;
    beside.catch_up().await.unwrap();
    store.backup(at("backup.db")).await.unwrap();
    deposit(&store, &[("a", 100)]).await;
    beside.catch_up().await.unwrap();
    store.shutdown().await.unwrap();
    drop((beside, within));

    SqliteStore::restore(at("backup.db"), at("restored.db")).await.unwrap();
    let store = SqliteStore::open(at("restored.db")).await.unwrap();
    let (beside, within) = (balances().build(&store).unwrap(), inline(&store));
    deposit(&store, &[("a", 10)]).await;
    beside.catch_up().await.unwrap();
    assert_eq!(rows(&beside).await, expected(&[("a", 11)]));
    let sum: i64 = within.query(|tx| tx.query_row("SELECT sum(cents) FROM sum", (), |row| row.get(0))).await.unwrap();
    assert_eq!(sum, 11, "in the append itself");
    for name in ["balances", "sum"] {
        let stored = store.checkpoints(name).await.unwrap().remove(0);
        assert_eq!((stored.position, stored.store), (3, store.identity()), "{name}");
    }
}

#[tokio::test]
async fn a_read_model_that_followed_another_restore_of_the_same_backup_is_refused() {
    let bank = Bank::with_deposits(1).await.restored().await;
    deposit(&bank.store, &[("a", 100)]).await;
    bank.followed().await.close().await;
    let first = bank.store.identity();
    let bank = bank.restored().await;
    for cents in [1, 2, 3] {
        deposit(&bank.store, &[("a", cents)]).await;
    }
    let projection = balances().build_in(bank.file("read.db"), &bank.store).unwrap();
    let error = projection.catch_up().await.unwrap_err();
    let present = bank.store.identity().epoch;
    assert!(
        matches!(error, Error::EpochUnknown { epoch, present: now, .. } if (epoch, now) == (first.epoch, present)),
        "{error}"
    );
    projection.rebuild().await.unwrap();
    assert_eq!(rows(&projection).await, expected(&[("a", 7)]));
    // Nor does it take the file as it was before it was ever restored for a newer one.
    let older = SqliteStore::open(bank.file("backup.db")).await.unwrap();
    let projection = balances().build_in(bank.file("read.db"), &older).unwrap();
    let error = projection.catch_up().await.unwrap_err();
    assert!(matches!(error, Error::EpochUnknown { present: 0, .. }), "{error}");
}

#[tokio::test]
async fn one_partition_that_has_seen_what_is_gone_is_enough() {
    let bank = Bank::with_deposits(0).await;
    let build = |store: &SqliteStore| balances().partitions(4).build_in(bank.file("read.db"), store).unwrap();
    let projection = build(&bank.store);
    projection.catch_up().await.unwrap();
    deposit(&bank.store, &[("a", 100)]).await;
    let partition = es_core::partition_of("a", 4);
    projection.advance(&bank.store, partition).await.unwrap();
    projection.close().await;
    let read = bank.file("read.db");
    let bank = bank.restored().await;
    deposit(&bank.store, &[("a", 7)]).await;
    let projection = balances().partitions(4).build_in(&read, &bank.store).unwrap();
    for partition in 0..4 {
        let error = projection.advance(&bank.store, partition).await.unwrap_err();
        assert!(matches!(error, Error::StoreRestored { checkpoint: 2, restored_to: 1, .. }), "{error}");
    }
    projection.rebuild().await.unwrap();
    assert_eq!(rows(&projection).await, expected(&[("a", 7)]));
}

/// Refuses deposits of 13.
fn superstitious() -> es_sqlite::SqliteProjectionBuilder {
    let add = "UPDATE balance SET cents = cents + ?2 WHERE account_id = ?1";
    SqliteProjection::builder("balances")
        .migration(TABLE)
        .retries(0)
        .on_account_opened(|tx, event, _| {
            tx.execute("INSERT INTO balance VALUES (?1, 0)", [&event.account_id])?;
            Ok(())
        })
        .on_money_deposited(move |tx, event, _| {
            if event.cents == 13 {
                return Err("13 brings bad luck".into());
            }
            tx.execute(add, (&event.account_id, event.cents))?;
            Ok(())
        })
}

#[tokio::test]
async fn an_event_that_was_to_be_passed_over_and_is_gone_does_not_cost_the_one_in_its_place() {
    // Once it stands before the event, once it has gone beyond it.
    for goes_beyond in [false, true] {
        let bank = Bank::with_deposits(1).await;
        let at = deposit(&bank.store, &[("a", 13)]).await.position;
        let projection = superstitious().build_in(bank.file("read.db"), &bank.store).unwrap();
        let error = projection.catch_up().await.unwrap_err();
        assert!(matches!(error, Error::ProjectionFaulted { position, .. } if position == at), "{error}");
        projection.skip(at).await.unwrap();
        if goes_beyond {
            projection.catch_up().await.unwrap();
        }
        projection.close().await;
        let bank = bank.restored().await;
        let instead = deposit(&bank.store, &[("a", 10)]).await.position;
        assert_eq!(instead, at);
        let projection = superstitious().build_in(bank.file("read.db"), &bank.store).unwrap();
        match projection.catch_up().await {
            Ok(_) => assert!(!goes_beyond),
            Err(error) => {
                assert!(goes_beyond && matches!(error, Error::StoreRestored { .. }), "{error}");
                projection.rebuild().await.unwrap();
            }
        }
        assert_eq!(rows(&projection).await, expected(&[("a", 11)]));
        assert_eq!(projection.skipped().await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_reactor_with_its_checkpoint_elsewhere_stops_and_goes_on_from_the_restore_when_told_to() {
    let (bank, seen) = (Bank::with_deposits(1).await, Arc::new(Mutex::new(Vec::new())));
    let elsewhere = SqliteStore::open(bank.file("elsewhere.db")).await.unwrap();
    let build = async |store: &SqliteStore| {
        let noted = seen.clone();
        let reactor = Reactor::builder("payments", LocalBus::new().transport(), StartFrom::Beginning);
        let reactor = reactor.on::<MoneyDeposited, _>(async move |_, event, _| {
            noted.lock().unwrap().push(event.cents);
            Ok(())
        });
        reactor.build_over(store, elsewhere.clone()).await.unwrap()
    };
    deposit(&bank.store, &[("a", 100)]).await;
    let reactor = build(&bank.store).await;
    reactor.advance(&bank.store, 0).await.unwrap();
    reactor.give_back().await;
    let bank = bank.restored().await;
    let at = deposit(&bank.store, &[("a", 10)]).await.position;
    deposit(&bank.store, &[("a", 20)]).await;
    let reactor = build(&bank.store).await;
    let error = reactor.advance(&bank.store, 0).await.unwrap_err();
    assert!(matches!(error, Error::StoreRestored { checkpoint, restored_to: 2, .. } if checkpoint == at), "{error}");
    reactor.go_on_from_restore(&bank.store).await.unwrap();
    reactor.advance(&bank.store, 0).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [1, 100, 10, 20]);
    let stored = elsewhere.checkpoints("payments").await.unwrap().remove(0);
    assert_eq!((stored.position, stored.store), (4, bank.store.identity()));
}
