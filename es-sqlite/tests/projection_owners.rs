//! Who runs a projection: one process at a time, and another one when that is gone.

mod support;

use std::{
    future::{Future, poll_fn},
    path::Path,
    pin::Pin,
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use es_core::{Commit, Error, EventLog, EventStore, Expected, ManualClock, Progress, Subscriber, Timestamp};
use es_sqlite::{SqliteProjection, SqliteProjectionBuilder, SqliteStore, rusqlite::Connection};
use support::{
    AccountHooks, MoneyDeposited,
    balances::{TABLE, balances, expected, rows},
    deposit, folder,
    interrupted::Interrupted,
    open_account, stream,
};

const LEASE: Duration = Duration::from_secs(10);

/// Two processes with one clock, as far as a test in one process can have them: each opens the file for itself.
struct Two {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
    clock: Arc<ManualClock>,
    one: SqliteStore,
    two: SqliteStore,
}

impl Two {
    async fn with_an_account() -> Self {
        let (_folder, path) = folder();
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_000_000)));
        let open = || SqliteStore::builder(&path).clock(Arc::clone(&clock)).open();
        let (one, two) = (open().await.unwrap(), open().await.unwrap());
        open_account(&one, "a").await;
        Self { _folder, path, clock, one, two }
    }

    /// The same projection in both processes, in the store's file or in one of its own.
    fn both(&self, own_file: bool, builder: fn() -> SqliteProjectionBuilder) -> [SqliteProjection; 2] {
        let read = self.path.with_file_name("read.db");
        [&self.one, &self.two].map(|store| match own_file {
            true => builder().build_in(&read, store).unwrap(),
            false => builder().build(store).unwrap(),
        })
    }

    fn file(&self, own_file: bool) -> Connection {
        Connection::open(if own_file { self.path.with_file_name("read.db") } else { self.path.clone() }).unwrap()
    }
}

fn at(checkpoint: u64) -> impl Fn(Progress) -> bool {
    move |progress| progress.checkpoint == checkpoint && progress.caught_up && !progress.standby
}

/// Polls a future that has to wait.
async fn is_waiting<F: Future + Unpin>(future: &mut F) -> bool {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context).is_pending())).await
}

fn generation(file: &Connection) -> u64 {
    file.query_row("SELECT generation FROM es_checkpoints", (), |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn one_owns_the_projection_and_the_other_stands_by() {
    for own_file in [false, true] {
        let two = Two::with_an_account().await;
        let [first, second] = two.both(own_file, balances);
        assert!(at(1)(first.advance(&two.one, 0).await.unwrap()));
        deposit(&two.one, &[("a", 1)]).await;
        for _ in 0..3 {
            assert_eq!(second.advance(&two.two, 0).await.unwrap(), Progress::at(1).standby());
        }
        assert!(at(2)(first.advance(&two.one, 0).await.unwrap()));
        assert_eq!(second.advance(&two.two, 0).await.unwrap(), Progress::at(2).standby());
        assert_eq!(rows(&second).await, expected(&[("a", 1)]));
    }
}

#[tokio::test]
async fn an_expired_lease_is_taken_over_when_there_is_something_to_handle() {
    for own_file in [false, true] {
        let two = Two::with_an_account().await;
        let [first, second] = two.both(own_file, balances);
        first.advance(&two.one, 0).await.unwrap();
        let file = two.file(own_file);
        let before = generation(&file);
        two.clock.advance(LEASE);
        assert!(at(1)(second.advance(&two.two, 0).await.unwrap()), "nothing to handle, nothing to take over");
        assert_eq!(generation(&file), before);

        deposit(&two.one, &[("a", 1)]).await;
        assert!(at(2)(second.advance(&two.two, 0).await.unwrap()));
        assert!(generation(&file) > before);
        // The former owner stands by from now on.
        deposit(&two.one, &[("a", 1)]).await;
        assert_eq!(first.advance(&two.one, 0).await.unwrap(), Progress::at(2).standby());
        assert!(at(3)(second.advance(&two.two, 0).await.unwrap()));
        assert_eq!(rows(&first).await, expected(&[("a", 2)]));
    }
}

#[tokio::test]
async fn each_page_renews_the_lease() {
    let two = Two::with_an_account().await;
    let [first, second] = two.both(false, balances);
    for position in 1..=5 {
        assert!(at(position)(first.advance(&two.one, 0).await.unwrap()));
        two.clock.advance(LEASE - Duration::from_secs(1));
        assert_eq!(second.advance(&two.two, 0).await.unwrap(), Progress::at(position).standby());
        deposit(&two.one, &[("a", 1)]).await;
    }
    two.clock.advance(Duration::from_secs(1));
    assert!(at(6)(second.advance(&two.two, 0).await.unwrap()));
}

/// An owner that is stopped after it has read a page, and continues when another one has long taken over.
#[tokio::test]
async fn an_owner_that_comes_back_after_its_lease_can_not_move_the_checkpoint() {
    for (own_file, beyond) in [(false, false), (true, false), (false, true), (true, true)] {
        let two = Two::with_an_account().await;
        let [first, second] = two.both(own_file, balances);
        first.advance(&two.one, 0).await.unwrap();
        deposit(&two.one, &[("a", 1)]).await;
        let (clock, other, store) = (Arc::clone(&two.clock), second.clone(), two.two.clone());
        let stopped = Interrupted::new(&two.one, async move {
            clock.advance(LEASE);
            assert!(at(2)(other.advance(&store, 0).await.unwrap()));
            if beyond {
                deposit(&store, &[("a", 1)]).await;
                other.advance(&store, 0).await.unwrap();
            }
        });
        let error = first.advance(&stopped, 0).await.unwrap_err();
        assert!(matches!(error, Error::CheckpointMoved { expected: 1, .. }), "{error}");
        let stands = if beyond { 3 } else { 2 };
        assert_eq!(first.advance(&two.one, 0).await.unwrap(), Progress::at(stands).standby());
        assert_eq!(rows(&first).await, expected(&[("a", if beyond { 2 } else { 1 })]));
    }
}

#[tokio::test]
async fn nothing_is_written_while_there_is_nothing_to_handle() {
    for own_file in [false, true] {
        let two = Two::with_an_account().await;
        let [first, second] = two.both(own_file, balances);
        first.advance(&two.one, 0).await.unwrap();
        let file = two.file(own_file);
        let version = || file.pragma_query_value(None, "data_version", |row| row.get::<_, u64>(0)).unwrap();
        let before = version();
        for _ in 0..5 {
            first.advance(&two.one, 0).await.unwrap();
            second.advance(&two.two, 0).await.unwrap();
            second.catch_up().await.unwrap();
            two.clock.advance(LEASE);
        }
        assert_eq!(version(), before);
    }
}

#[tokio::test]
async fn clones_are_one_owner() {
    let two = Two::with_an_account().await;
    let [first, _] = two.both(false, balances);
    let clone = first.clone();
    for round in 1..=5 {
        assert!(at(2 * round - 1)(first.advance(&two.one, 0).await.unwrap()));
        deposit(&two.one, &[("a", 1)]).await;
        assert!(at(2 * round)(clone.advance(&two.one, 0).await.unwrap()));
        deposit(&two.one, &[("a", 1)]).await;
    }
}

#[tokio::test]
async fn what_is_given_back_or_dropped_can_be_had_at_once() {
    for own_file in [false, true] {
        let two = Two::with_an_account().await;
        let [first, second] = two.both(own_file, balances);
        first.advance(&two.one, 0).await.unwrap();
        deposit(&two.one, &[("a", 1)]).await;
        match own_file {
            true => first.release_lease().await.unwrap(),
            // As a runner does.
            false => first.give_back().await,
        }
        assert!(at(2)(second.advance(&two.two, 0).await.unwrap()));
        deposit(&two.one, &[("a", 1)]).await;
        assert_eq!(first.advance(&two.one, 0).await.unwrap(), Progress::at(2).standby());
        drop(second);
        // What a dropped one gives back goes through its store's writer, and so does this.
        deposit(&two.two, &[("a", 1)]).await;
        assert!(at(4)(first.advance(&two.one, 0).await.unwrap()));
    }
}

#[tokio::test]
async fn catching_up_once_leaves_nothing_to_wait_for() {
    for own_file in [false, true] {
        let two = Two::with_an_account().await;
        let [first, second] = two.both(own_file, balances);
        for round in 0..3 {
            assert_eq!(first.catch_up().await.unwrap(), 2 * round + 1);
            deposit(&two.one, &[("a", 1)]).await;
            assert_eq!(second.catch_up().await.unwrap(), 2 * round + 2);
            deposit(&two.one, &[("a", 1)]).await;
        }
    }
}

/// `balances` that counts how often its hooks are called.
fn counting(calls: &Arc<AtomicUsize>) -> SqliteProjectionBuilder {
    let (opened, deposited) = (Arc::clone(calls), Arc::clone(calls));
    SqliteProjection::builder("balances")
        .migration(TABLE)
        .on_account_opened(move |tx, event, _| {
            opened.fetch_add(1, Ordering::SeqCst);
            tx.run("INSERT INTO balance VALUES (?1, 0)", [&event.account_id])
        })
        .on_money_deposited(move |tx, event, _| {
            deposited.fetch_add(1, Ordering::SeqCst);
            let add = "UPDATE balance SET cents = cents + ?2 WHERE account_id = ?1";
            tx.run(add, (&event.account_id, event.cents))
        })
}

#[tokio::test]
async fn catching_up_waits_for_the_owner_and_takes_over_when_its_lease_is_over() {
    let two = Two::with_an_account().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let owner = balances().build(&two.one).unwrap();
    let other = counting(&calls).build(&two.two).unwrap();
    owner.advance(&two.one, 0).await.unwrap();

    deposit(&two.one, &[("a", 1)]).await;
    let mut waiting = Box::pin(other.catch_up());
    assert!(is_waiting(&mut waiting).await);
    owner.advance(&two.one, 0).await.unwrap();
    assert_eq!(waiting.await.unwrap(), 2);
    assert_eq!(calls.load(Ordering::SeqCst), 0, "the owner has done it");

    deposit(&two.one, &[("a", 1)]).await;
    let mut waiting = Box::pin(other.catch_up());
    assert!(is_waiting(&mut waiting).await);
    two.clock.advance(LEASE);
    assert_eq!(waiting.await.unwrap(), 3);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_lease_lasts_as_long_as_the_builder_says() {
    let two = Two::with_an_account().await;
    let [first, second] = two.both(false, || balances().lease(Duration::from_secs(60)));
    first.advance(&two.one, 0).await.unwrap();
    deposit(&two.one, &[("a", 1)]).await;
    two.clock.advance(Duration::from_secs(59));
    assert!(second.advance(&two.two, 0).await.unwrap().standby);
    two.clock.advance(Duration::from_secs(1));
    assert!(at(2)(second.advance(&two.two, 0).await.unwrap()));
}

#[tokio::test]
async fn a_reset_takes_the_projection_from_its_owner() {
    let two = Two::with_an_account().await;
    let [first, second] = two.both(false, balances);
    first.advance(&two.one, 0).await.unwrap();
    second.rebuild().await.unwrap();
    assert_eq!(rows(&first).await, expected(&[("a", 0)]));
    deposit(&two.one, &[("a", 1)]).await;
    assert!(at(2)(first.advance(&two.one, 0).await.unwrap()));
}

#[tokio::test]
async fn a_page_read_before_a_reset_is_not_kept_after_it() {
    for own_file in [false, true] {
        let two = Two::with_an_account().await;
        let [first, second] = two.both(own_file, balances);
        let other = second.clone();
        let reset = Interrupted::new(&two.one, async move {
            assert_eq!(other.catch_up().await.unwrap(), 1);
            other.reset().await.unwrap();
        });
        let error = first.advance(&reset, 0).await.unwrap_err();
        assert!(matches!(error, Error::CheckpointMoved { expected: 0, .. }), "{error}");
        assert!(at(1)(first.advance(&two.one, 0).await.unwrap()));
        assert_eq!(rows(&second).await, expected(&[("a", 0)]));
    }
}

const FILE: &str = "ES_SQLITE_TEST_FILE";
const STOPPED: &str = "an_owner_stopped_past_its_lease_and_continued_counts_nothing_twice";

/// This test starts itself as another process, and stops it for a while.
#[cfg(unix)]
#[test]
fn an_owner_stopped_past_its_lease_and_continued_counts_nothing_twice() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let short = || balances().lease(Duration::from_millis(200));
    if let Ok(file) = std::env::var(FILE) {
        return runtime.block_on(async {
            let store = SqliteStore::open(Path::new(&file)).await.unwrap();
            let projection = short().build(&store).unwrap();
            let mut head = store.watch();
            while store.version(&stream("stop")).await.unwrap() == 0 {
                head.borrow_and_update();
                match projection.advance(&store, 0).await {
                    Ok(progress) if progress.standby => tokio::time::sleep(Duration::from_millis(15)).await,
                    Ok(progress) if progress.caught_up => drop(head.changed().await),
                    Ok(_) | Err(Error::CheckpointMoved { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    let (_folder, path) = folder();
    let signal = |child: &Child, signal: &str| {
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    };
    runtime.block_on(async {
        let store = SqliteStore::builder(&path).busy_timeout(Duration::from_secs(20)).open().await.unwrap();
        open_account(&store, "a").await;
        let projection = short().build(&store).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.args([STOPPED, "--exact"]).env(FILE, &path).spawn().unwrap();
        while projection.checkpoint(0).await.unwrap() < 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut deposits = 0;
        for _ in 0..5 {
            for _ in 0..10 {
                deposit(&store, &[("a", 1)]).await;
                deposits += 1;
            }
            // Wherever this meets it: while it reads, writes or waits.
            signal(&child, "-STOP");
            let caught_up = tokio::time::timeout(Duration::from_millis(400), projection.catch_up()).await;
            signal(&child, "-CONT");
            if let Ok(caught_up) = caught_up {
                caught_up.unwrap();
            }
        }
        let stop = MoneyDeposited { account_id: "nobody".into(), cents: 0 }.new_event();
        store.append(Commit::append(stream("stop"), Expected::Any, vec![stop])).await.unwrap();
        assert!(child.wait().unwrap().success());
        projection.catch_up().await.unwrap();
        assert_eq!(rows(&projection).await, expected(&[("a", deposits)]));
    });
}
