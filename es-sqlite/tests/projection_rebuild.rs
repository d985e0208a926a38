//! A read model is made again beside the present one.

mod support;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use es_core::{Commit, Error, EventStore, Expected, Rebuild, Rebuilding, Runner, Subscriber};
use es_sqlite::{SqliteProjection, SqliteProjectionBuilder, SqliteStore};
use support::{
    AccountHooks, MoneyDeposited,
    balances::{TABLE, balances, expected, rows},
    commit, deposit, folder, open_account, stream,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// In the store's file and in a file of its own.
fn build(own_file: bool, builder: SqliteProjectionBuilder, path: &Path, store: &SqliteStore) -> SqliteProjection {
    let read = path.with_file_name("read.db");
    if own_file { builder.build_in(read, store).unwrap() } else { builder.build(store).unwrap() }
}

/// `balances` without deposits.
fn accounts() -> SqliteProjectionBuilder {
    SqliteProjection::builder("balances")
        .migration(TABLE)
        .on_account_opened(|tx, event, _| tx.run("INSERT INTO balance VALUES (?1, 0)", [&event.account_id]))
}

/// A hook that waits inside a rebuild, until it is let go.
struct Gate {
    reached: UnboundedReceiver<()>,
    go: mpsc::Sender<()>,
}

impl Gate {
    async fn reached(&mut self) {
        self.reached.recv().await.unwrap();
    }

    fn open(&self) {
        self.go.send(()).unwrap();
    }
}

/// `balances`, waiting at the first event of each rebuild.
fn gated() -> (SqliteProjectionBuilder, Gate) {
    let (tell, reached) = unbounded_channel();
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let builder = balances().on_account_opened(move |_, _, meta| {
        if meta.position == 1 {
            tell.send(())?;
            wait.lock().unwrap().recv()?;
        }
        Ok(())
    });
    (builder, Gate { reached, go })
}

/// Records so many deposits of nothing, in hundreds.
async fn idle(store: &SqliteStore, count: usize) {
    let nothing = MoneyDeposited { account_id: "b".into(), cents: 0 }.new_event();
    for _ in 0..count / 100 {
        let hundred = vec![nothing.clone(); 100];
        commit(store, Commit::append(stream("b"), Expected::StreamExists, hundred)).await.unwrap();
    }
}

/// The names of scratch files.
fn scratch_files(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().unwrap().read_dir().unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    files.filter(|path| path.to_str().unwrap().contains(".rebuild")).collect()
}

/// The store with two accounts, 7 in `a` and 1 in `b`.
async fn bank(path: &Path) -> SqliteStore {
    let store = SqliteStore::open(path).await.unwrap();
    open_account(&store, "a").await;
    open_account(&store, "b").await;
    deposit(&store, &[("a", 7), ("b", 1)]).await;
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_see_the_old_read_model_until_the_new_one_is_there() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = bank(&path).await;
        build(own_file, accounts(), &path, &store).catch_up().await.unwrap();

        let (builder, mut gate) = gated();
        let changed = build(own_file, builder, &path, &store);
        let rebuilt = tokio::spawn({
            let changed = changed.clone();
            async move { changed.rebuild().await }
        });
        gate.reached().await;
        assert_eq!(scratch_files(&path).len(), 1);
        assert_eq!(rows(&changed).await, expected(&[("a", 0), ("b", 0)]));
        assert_eq!(changed.checkpoint(0).await.unwrap(), 4);
        // It can't go on with the old read model, and waits.
        assert!(changed.advance(&store, 0).await.unwrap().standby);
        let running = Runner::new(store.clone()).run(changed.clone()).start().unwrap();
        gate.open();

        assert_eq!(rebuilt.await.unwrap().unwrap(), 4);
        assert_eq!(rows(&changed).await, expected(&[("a", 7), ("b", 1)]));
        assert!(scratch_files(&path).is_empty());
        let committed = deposit(&store, &[("a", 1)]).await;
        running.wait_for_position("balances", committed.position, Duration::from_secs(10)).await.unwrap();
        assert_eq!(rows(&changed).await, expected(&[("a", 8), ("b", 1)]));
        running.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_live_projection_goes_on_and_its_checkpoint_never_goes_back() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = bank(&path).await;
        let live = build(own_file, balances(), &path, &store);
        live.catch_up().await.unwrap();

        let (builder, mut gate) = gated();
        let again = build(own_file, builder, &path, &store);
        let rebuilt = tokio::spawn(async move { again.rebuild().await });
        gate.reached().await;
        // More than is left to the last transaction.
        for _ in 0..3 {
            idle(&store, 500).await;
            deposit(&store, &[("a", 1)]).await;
        }
        let before = live.catch_up().await.unwrap();
        assert_eq!(before, store.head().await.unwrap());
        assert_eq!(rows(&live).await["a"], 10);
        gate.open();
        assert_eq!(rebuilt.await.unwrap().unwrap(), before);
        assert_eq!(live.checkpoint(0).await.unwrap(), before);
        assert_eq!(rows(&live).await["a"], 10);
        deposit(&store, &[("a", 1)]).await;
        live.catch_up().await.unwrap();
        assert_eq!(rows(&live).await["a"], 11);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_among_commits_ends_with_all_of_them() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = bank(&path).await;
        idle(&store, 6_000).await;
        let projection = build(own_file, balances(), &path, &store);
        let running = Runner::new(store.clone()).run(projection.clone()).start().unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let depositor = tokio::spawn({
            let (store, done) = (store.clone(), Arc::clone(&done));
            async move {
                let mut count = 0;
                while !done.load(Ordering::Relaxed) || count < 50 {
                    deposit(&store, &[("a", 1)]).await;
                    count += 1;
                }
                count
            }
        });
        let watcher = tokio::spawn({
            let (projection, done) = (projection.clone(), Arc::clone(&done));
            async move {
                let mut before = 0;
                while !done.load(Ordering::Relaxed) {
                    let checkpoint = projection.checkpoint(0).await.unwrap();
                    assert!(checkpoint >= before, "the checkpoint went back from {before} to {checkpoint}");
                    before = checkpoint;
                    tokio::task::yield_now().await;
                }
            }
        });
        for _ in 0..3 {
            projection.rebuild().await.unwrap();
        }
        done.store(true, Ordering::Relaxed);
        let count = depositor.await.unwrap();
        watcher.await.unwrap();
        let head = store.head().await.unwrap();
        running.wait_for_position("balances", head, Duration::from_secs(30)).await.unwrap();
        running.shutdown().await;
        assert_eq!(rows(&projection).await, expected(&[("a", 7 + count), ("b", 1)]));
    }
}

#[tokio::test]
async fn a_hook_that_fails_leaves_the_old_read_model() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = bank(&path).await;
        let failing = Arc::new(AtomicBool::new(false));
        let fails = Arc::clone(&failing);
        let builder = balances().on_money_deposited(move |_, event, _| match fails.load(Ordering::Relaxed) {
            true if event.account_id == "b" => Err("not b".into()),
            _ => Ok(()),
        });
        let projection = build(own_file, builder, &path, &store);
        projection.catch_up().await.unwrap();
        failing.store(true, Ordering::Relaxed);
        let error = projection.rebuild().await.unwrap_err();
        assert!(matches!(error, Error::ProjectionFaulted { position: 4, .. }), "{error}");
        assert!(scratch_files(&path).is_empty());
        assert_eq!(rows(&projection).await, expected(&[("a", 7), ("b", 1)]));
        assert_eq!(projection.checkpoint(0).await.unwrap(), 4);
        failing.store(false, Ordering::Relaxed);
        projection.rebuild().await.unwrap();
    }
}

#[tokio::test]
async fn a_rebuild_that_is_dropped_leaves_the_old_read_model() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = bank(&path).await;
        build(own_file, balances(), &path, &store).catch_up().await.unwrap();
        let (builder, mut gate) = gated();
        let projection = build(own_file, builder, &path, &store);
        tokio::select! {
            _ = projection.rebuild() => panic!("it waits at the gate"),
            () = gate.reached() => {}
        }
        gate.open();
        assert_eq!(rows(&projection).await, expected(&[("a", 7), ("b", 1)]));
        // The next one waits for its file.
        gate.open();
        projection.rebuild().await.unwrap();
        assert!(scratch_files(&path).is_empty());
        assert_eq!(rows(&projection).await, expected(&[("a", 7), ("b", 1)]));
    }
}

#[tokio::test]
async fn a_report_that_panics_ends_the_rebuild() {
    let (_folder, path) = folder();
    let store = bank(&path).await;
    let projection = balances().build(&store).unwrap();
    projection.catch_up().await.unwrap();
    let error = projection.rebuild_with(|_| panic!("a test's panic")).await.unwrap_err();
    assert_eq!(error.to_string(), "the report of a rebuild panicked");
    assert_eq!(rows(&projection).await, expected(&[("a", 7), ("b", 1)]));
    projection.rebuild().await.unwrap();
}

#[tokio::test]
async fn what_a_killed_rebuild_left_is_cleared_away() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = bank(&path).await;
        let (builder, mut gate) = gated();
        let projection = build(own_file, builder, &path, &store);
        let scratch = tokio::select! {
            _ = projection.rebuild() => panic!("it waits at the gate"),
            () = gate.reached() => scratch_files(&path).remove(0),
        };
        gate.open();
        gate.open();
        projection.rebuild().await.unwrap();
        drop(projection);

        let sound = |path: &Path| {
            let left = es_sqlite::rusqlite::Connection::open(path).unwrap();
            left.execute_batch("CREATE TABLE balance (account_id, cents); INSERT INTO balance VALUES ('x', 1)")
                .unwrap();
        };
        let garbage = |path: &Path| std::fs::write(path, "cut off".repeat(1_000)).unwrap();
        let empty = |path: &Path| std::fs::write(path, "").unwrap();
        for leave in [&sound as &dyn Fn(&Path), &garbage, &empty] {
            leave(&scratch);
            let projection = build(own_file, balances(), &path, &store);
            assert!(scratch_files(&path).is_empty(), "by the next build");
            leave(&scratch);
            projection.rebuild().await.unwrap();
            assert!(scratch_files(&path).is_empty(), "by the next rebuild");
            assert_eq!(rows(&projection).await, expected(&[("a", 7), ("b", 1)]));
        }
    }
}

#[tokio::test]
async fn only_one_rebuild_at_a_time() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = bank(&path).await;
        let (builder, mut gate) = gated();
        let first = build(own_file, builder, &path, &store);
        let rebuilt = tokio::spawn({
            let first = first.clone();
            async move { first.rebuild().await }
        });
        gate.reached().await;
        // Building clears away what was left, and nothing else.
        let elsewhere = build(own_file, balances(), &path, &store);
        for second in [&first, &elsewhere] {
            let error = second.rebuild().await.unwrap_err();
            assert!(matches!(&error, Error::RebuildUnderWay { name } if name == "balances"), "{error}");
        }
        assert_eq!(scratch_files(&path).len(), 1);
        // Another read model has a file of its own.
        let other = SqliteProjection::builder("other").migration("CREATE TABLE other (id)");
        build(own_file, other, &path, &store).rebuild().await.unwrap();
        gate.open();
        rebuilt.await.unwrap().unwrap();
        elsewhere.rebuild().await.unwrap();
        assert_eq!(rows(&first).await, expected(&[("a", 7), ("b", 1)]));
    }
}

#[tokio::test]
async fn reports_go_forward_and_end_at_the_head() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = bank(&path).await;
        idle(&store, 9_000).await;
        let projection = build(own_file, balances(), &path, &store);
        let reports = Mutex::new(Vec::<Rebuilding>::new());
        let checkpoint =
            Rebuild::rebuild(&projection, &|now: &Rebuilding| reports.lock().unwrap().push(*now)).await.unwrap();
        let reports = reports.into_inner().unwrap();
        assert!(reports.len() >= 3, "{reports:?}");
        assert!(reports.is_sorted_by_key(|now| (now.position, now.elapsed)), "{reports:?}");
        assert!(reports.iter().all(|now| now.head == 9_004 && now.position <= now.head), "{reports:?}");
        assert_eq!((checkpoint, reports.last().unwrap().position), (9_004, 9_004));
    }
}

#[tokio::test]
async fn an_empty_log_makes_an_empty_read_model() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let projection = balances().build(&store).unwrap();
    assert_eq!(projection.rebuild().await.unwrap(), 0);
    assert_eq!(rows(&projection).await, expected(&[]));
}

/// Has the hook for the nth event of the log record one more, so that this is left to the last transaction.
fn records_one_more(nth: u64, store: &SqliteStore) -> impl Fn(u64) + Send + Sync + 'static {
    let (store, once) = (store.clone(), AtomicBool::new(false));
    move |position| {
        if position == nth && !once.swap(true, Ordering::Relaxed) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(deposit(&store, &[("a", 100)]));
        }
    }
}

#[tokio::test]
async fn what_is_recorded_at_the_last_moment_is_in_the_new_read_model() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = bank(&path).await;
        let record = records_one_more(4, &store);
        let builder = balances().on_money_deposited(move |_, _, meta| {
            record(meta.position);
            Ok(())
        });
        let projection = build(own_file, builder, &path, &store);
        assert_eq!(projection.rebuild().await.unwrap(), 5);
        assert_eq!(rows(&projection).await, expected(&[("a", 107), ("b", 1)]));
    }
}

#[tokio::test]
async fn a_hook_that_fails_in_the_last_transaction_leaves_the_old_read_model() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = bank(&path).await;
        let words = || {
            balances()
                .migration("CREATE VIRTUAL TABLE words USING fts5(text)")
                .on_account_opened(|tx, event, _| tx.run("INSERT INTO words VALUES (?1)", [&event.account_id]))
        };
        let before = build(own_file, words(), &path, &store);
        before.catch_up().await.unwrap();
        let record = records_one_more(4, &store);
        let builder = words().on_money_deposited(move |_, event, meta| {
            record(meta.position);
            if event.cents == 100 { Err("too much".into()) } else { Ok(()) }
        });
        let projection = build(own_file, builder, &path, &store);
        let error = projection.rebuild().await.unwrap_err();
        assert!(matches!(error, Error::ProjectionFaulted { position: 5, .. }), "{error}");
        assert!(scratch_files(&path).is_empty());
        assert_eq!(rows(&before).await, expected(&[("a", 7), ("b", 1)]));
        // The old one goes on, its virtual table as well.
        open_account(&store, "c").await;
        before.catch_up().await.unwrap();
        let sql = "SELECT count(*) FROM words WHERE words MATCH 'c OR a'";
        let found = before.query(|tx| tx.query_row(sql, (), |row| row.get::<_, i64>(0))).await.unwrap();
        assert_eq!(found, 2);
        before.rebuild().await.unwrap();
        assert_eq!(rows(&before).await, expected(&[("a", 107), ("b", 1), ("c", 0)]));
    }
}

#[tokio::test]
async fn a_table_made_by_a_hook_is_refused() {
    let (_folder, path) = folder();
    let store = bank(&path).await;
    let builder = balances().on_account_opened(|tx, _, _| tx.run("CREATE TABLE IF NOT EXISTS seen (id)", ()));
    let projection = builder.build(&store).unwrap();
    let error = projection.rebuild().await.unwrap_err();
    assert_eq!(error.to_string(), "invalid request: a hook of `balances` makes the table seen; make it in a migration");
}

#[tokio::test]
async fn migrations_applied_by_another_program_meanwhile_are_noticed() {
    let (_folder, path) = folder();
    let store = bank(&path).await;
    let (builder, mut gate) = gated();
    let projection = builder.build(&store).unwrap();
    let rebuilt = tokio::spawn(async move { projection.rebuild().await });
    gate.reached().await;
    let newer = balances().migration("ALTER TABLE balance ADD COLUMN note TEXT").build(&store).unwrap();
    gate.open();
    let error = rebuilt.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("rebuild it with that program"), "{error}");
    newer.query(|tx| tx.query("SELECT note FROM balance", (), |_| Ok(()))).await.unwrap();
}

#[tokio::test]
async fn only_the_read_model_itself_is_touched() {
    let (_folder, path) = folder();
    let store = bank(&path).await;
    for own_file in [false, true] {
        let neighbour = SqliteProjection::builder("neighbour")
            .migration("CREATE TABLE seen (account_id TEXT, at INTEGER); CREATE INDEX seen_at ON seen (at)")
            .on_account_opened(|tx, event, meta| {
                tx.run("INSERT INTO seen VALUES (?1, ?2)", (&event.account_id, meta.position))
            });
        let rebuilt = build(own_file, balances(), &path, &store);
        let neighbour = build(
            own_file,
            // On the table of another read model.
            neighbour.migration(
                "CREATE INDEX by_cents ON balance (cents);
                 CREATE TRIGGER rich AFTER UPDATE ON BALANCE WHEN new.cents > 100
                 BEGIN INSERT INTO seen VALUES (new.account_id, 0); END",
            ),
            &path,
            &store,
        );
        neighbour.catch_up().await.unwrap();
        rebuilt.catch_up().await.unwrap();
        rebuilt.rebuild().await.unwrap();

        let seen = async || {
            let sql = "SELECT account_id, at FROM seen ORDER BY rowid";
            let read = |row: &es_sqlite::rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
            neighbour.query(|tx| tx.query(sql, (), read)).await.unwrap()
        };
        let before = vec![("a".to_owned(), 1), ("b".to_owned(), 2)];
        assert_eq!(seen().await, before);
        assert_eq!(rows(&rebuilt).await["b"], 1);
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name IN ('by_cents', 'rich', 'seen_at')";
        let kept = neighbour.query(|tx| tx.query_row(sql, (), |row| row.get::<_, i64>(0))).await.unwrap();
        assert_eq!(kept, 3);
        assert_eq!(neighbour.checkpoint(0).await.unwrap(), 4);
    }
}

#[tokio::test]
async fn a_store_that_is_closed_ends_the_rebuild() {
    let (_folder, path) = folder();
    let store = bank(&path).await;
    let (builder, mut gate) = gated();
    let projection = build(true, builder, &path, &store);
    let rebuilt = tokio::spawn(async move { projection.rebuild().await });
    gate.reached().await;
    store.shutdown().await.unwrap();
    gate.open();
    let error = rebuilt.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::ShuttingDown), "{error}");
    assert!(scratch_files(&path).is_empty());
}
