//! Rebuilds that end before they are done: the read model stays as it was, and nothing is left beside it.

mod support;

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use es_core::{Error, Subscriber};
use es_sqlite::{SqliteProjection, SqliteStore};
use support::{
    AccountHooks,
    balances::{balances, expected, rows},
    folder, open_account,
    rebuild::{bank, build, gated, records_one_more, scratch_files},
};

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

/// A process that is killed, however the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Runs this test again as a process of its own, which rebuilds the read model beside the store given here.
const FILE: &str = "ES_REBUILD";

#[tokio::test]
async fn another_process_is_respected_while_it_lives_and_cleared_away_when_it_was_killed() {
    if let Some(path) = std::env::var_os(FILE).map(PathBuf::from) {
        let store = SqliteStore::open(&path).await.unwrap();
        let (builder, mut gate) = gated();
        let rebuilt = build(true, builder, &path, &store);
        tokio::join!(async { rebuilt.rebuild().await.unwrap() }, async {
            gate.reached().await;
            println!("\nreached");
        });
        return;
    }
    let (_folder, path) = folder();
    let store = bank(&path).await;
    let projection = build(true, balances(), &path, &store);
    projection.catch_up().await.unwrap();
    let name = "another_process_is_respected_while_it_lives_and_cleared_away_when_it_was_killed";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture"]).env(FILE, &path).stdout(Stdio::piped());
    let mut child = Killed(command.spawn().unwrap());
    let said =
        BufReader::new(child.0.stdout.take().unwrap()).lines().map(Result::unwrap).find(|line| line == "reached");
    assert!(said.is_some());

    let error = projection.rebuild().await.unwrap_err();
    assert!(matches!(error, Error::RebuildUnderWay { .. }), "{error}");
    build(true, balances(), &path, &store);
    assert_eq!(scratch_files(&path).len(), 1);
    drop(child);
    assert_eq!(scratch_files(&path).len(), 1, "nobody could remove it");
    assert_eq!(rows(&projection).await, expected(&[("a", 7), ("b", 1)]));
    projection.rebuild().await.unwrap();
    assert!(scratch_files(&path).is_empty());
    assert_eq!(rows(&projection).await, expected(&[("a", 7), ("b", 1)]));
}
