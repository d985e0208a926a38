//! A read model is made again beside the present one.

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use es_core::{Commit, EventLog, Expected, Rebuild, Rebuilding, Runner, Subscriber};
use es_sqlite::{Migration, SqliteProjection, SqliteProjectionBuilder, SqliteStore};
use support::{
    AccountHooks, MoneyDeposited,
    balances::{TABLE, balances, expected, rows},
    commit, deposit, folder,
    rebuild::{bank, build, gated, records_one_more, scratch_files},
    stream,
};

/// `balances` without deposits.
fn accounts() -> SqliteProjectionBuilder {
    SqliteProjection::builder("balances")
        .migration(TABLE)
        .on_account_opened(|tx, event, _| tx.run("INSERT INTO balance VALUES (?1, 0)", [&event.account_id]))
}

/// Records so many deposits of nothing, in hundreds.
async fn idle(store: &SqliteStore, count: usize) {
    let nothing = MoneyDeposited { account_id: "b".into(), cents: 0 }.new_event();
    for _ in 0..count / 100 {
        let hundred = vec![nothing.clone(); 100];
        commit(store, Commit::append(stream("b"), Expected::StreamExists, hundred)).await.unwrap();
    }
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
        let caught_up = tokio::spawn({
            let changed = changed.clone();
            async move { changed.catch_up().await }
        });
        let running = Runner::new(store.clone()).run(changed.clone()).start().unwrap();
        gate.open();

        assert_eq!(rebuilt.await.unwrap().unwrap(), 4);
        assert_eq!(caught_up.await.unwrap().unwrap(), 4);
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
async fn a_table_made_by_a_hook_is_refused() {
    let (_folder, path) = folder();
    let store = bank(&path).await;
    let builder = balances().on_account_opened(|tx, _, _| tx.run("CREATE TABLE IF NOT EXISTS seen (id)", ()));
    let projection = builder.build(&store).unwrap();
    let error = projection.rebuild().await.unwrap_err();
    assert_eq!(error.to_string(), "invalid request: a hook of `balances` makes the table seen; make it in a migration");
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
async fn tables_of_others_may_refer_to_the_read_model_without_an_action() {
    for own_file in [false, true] {
        let (_folder, path) = folder();
        let store = bank(&path).await;
        let projection = build(own_file, balances(), &path, &store);
        projection.catch_up().await.unwrap();
        let visits = |action: &str| {
            let table = format!("CREATE TABLE visit (account_id TEXT REFERENCES Balance (account_id) {action})");
            SqliteProjection::builder("visits")
                .migration(Migration::new(table).down("DROP TABLE visit"))
                .on_account_opened(|tx, event, _| tx.run("INSERT INTO visit VALUES (?1)", [&event.account_id]))
        };
        let plain = build(own_file, visits("ON DELETE RESTRICT"), &path, &store);
        plain.catch_up().await.unwrap();
        projection.rebuild().await.unwrap();
        let count = "SELECT count(*) FROM visit JOIN balance USING (account_id)";
        assert_eq!(plain.query(|tx| tx.query_row(count, (), |row| row.get::<_, i64>(0))).await.unwrap(), 2);

        build(own_file, SqliteProjection::builder("visits"), &path, &store);
        let cascading = build(own_file, visits("ON DELETE CASCADE"), &path, &store);
        cascading.reset().await.unwrap();
        cascading.catch_up().await.unwrap();
        let error = projection.rebuild().await.unwrap_err();
        assert!(error.to_string().contains("visit, which is not a table of `balances`, refers to one"), "{error}");
        assert_eq!(cascading.query(|tx| tx.query_row(count, (), |row| row.get::<_, i64>(0))).await.unwrap(), 2);
    }
}
