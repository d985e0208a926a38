//! Read models of a log that is kept elsewhere: all a projection needs of it is that it can be read.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use es_core::{
    Commit, Error, EventLog, EventStore, Expected, Filter, MemoryStore, Page, Runner, StoreIdentity, Timestamp,
    store::BoxFuture,
};
use es_sqlite::SqliteProjection;
use support::{
    AccountHooks, AccountOpened, MoneyDeposited,
    balances::{TABLE, balances, expected, rows},
    folder, stream,
};
use tokio::sync::watch;

const WAIT: Duration = Duration::from_secs(10);

async fn open_with(log: &MemoryStore, id: &str, cents: i64) {
    let opened = AccountOpened { account_id: id.into() };
    let deposited = MoneyDeposited { account_id: id.into(), cents };
    let events = vec![opened.new_event(), deposited.new_event()];
    log.append(Commit::append(stream(id), Expected::NoStream, events)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_catches_up_follows_and_is_rebuilt() {
    let (_folder, path) = folder();
    let log = MemoryStore::new();
    open_with(&log, "ada", 5).await;
    let projection = balances().build_over(path.with_file_name("read.db"), log.clone()).unwrap();
    let running = Runner::new(log.clone()).run(projection.clone()).start().unwrap();
    open_with(&log, "bob", 7).await;
    running.wait_for_position("balances", log.head().await.unwrap(), WAIT).await.unwrap();
    assert_eq!(rows(&projection).await, expected(&[("ada", 5), ("bob", 7)]));

    let rebuilt = projection.rebuild().await.unwrap();
    assert_eq!(rebuilt, 4);
    open_with(&log, "cy", 9).await;
    running.wait_for_position("balances", log.head().await.unwrap(), WAIT).await.unwrap();
    assert_eq!(rows(&projection).await, expected(&[("ada", 5), ("bob", 7), ("cy", 9)]));
    running.shutdown().await;
}

#[tokio::test]
async fn the_log_of_another_store_is_refused() {
    let (_folder, path) = folder();
    let read = path.with_file_name("read.db");
    let log = MemoryStore::new();
    open_with(&log, "ada", 5).await;
    let projection = balances().build_over(&read, log).unwrap();
    projection.catch_up().await.unwrap();
    projection.close().await;
    let error = balances().build_over(&read, MemoryStore::new()).unwrap_err();
    assert!(matches!(error, Error::StoreIdentityChanged { .. }), "{error}");
}

#[tokio::test]
async fn new_hooks_are_adopted_only_before_the_first_event() {
    let (_folder, path) = folder();
    let (log, read) = (MemoryStore::new(), path.with_file_name("read.db"));
    let one_hook = || SqliteProjection::builder("balances").migration(TABLE).on_account_opened(|_, _, _| Ok(()));
    let another = || one_hook().on_money_deposited(|_, _, _| Ok(()));
    one_hook().build_over(&read, log.clone()).unwrap().close().await;
    let adopted = another().build_over(&read, log.clone()).unwrap();
    open_with(&log, "ada", 5).await;
    assert_eq!(adopted.catch_up().await.unwrap(), 2);

    let second = path.with_file_name("second.db");
    let begun = one_hook().build_over(&second, log.clone()).unwrap();
    begun.catch_up().await.unwrap();
    begun.close().await;
    let error = another().build_over(&second, log).unwrap().catch_up().await.unwrap_err();
    assert!(matches!(error, Error::ProjectionChanged { .. }), "{error}");
}

/// A log that counts how often it is asked where it ends.
#[derive(Clone, Debug)]
struct Counting(MemoryStore, Arc<AtomicUsize>);

impl EventLog for Counting {
    fn read_all<'a>(&'a self, after: u64, limit: usize, filter: &'a Filter) -> BoxFuture<'a, es_core::Result<Page>> {
        self.0.read_all(after, limit, filter)
    }

    fn head(&self) -> BoxFuture<'_, es_core::Result<u64>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.head()
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.0.watch()
    }

    fn identity(&self) -> StoreIdentity {
        self.0.identity()
    }

    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

#[tokio::test]
async fn a_log_is_asked_for_its_end_only_near_it() {
    let (_folder, path) = folder();
    let log = Counting(MemoryStore::new(), Arc::default());
    for id in 0..1_750 {
        open_with(&log.0, &format!("a-{id}"), 1).await;
    }
    let projection = balances().build_over(path.with_file_name("read.db"), log.clone()).unwrap();
    assert_eq!(projection.catch_up().await.unwrap(), 3_500);
    assert_eq!(log.1.load(Ordering::SeqCst), 2, "when it begins, and behind the page that is not full");
    assert_eq!(rows(&projection).await.len(), 1_750);
}
