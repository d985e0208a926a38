//! Hooks that fail, panic, or do what they may not: only their own projection suffers.

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use es_core::{AppError, Error, EventStore, Subscriber};
use es_sqlite::{SqliteProjection, SqliteProjectionBuilder, SqliteStore};
use support::{
    AccountHooks, AccountOpened, append,
    balances::{TABLE, balances, both, expected, rows},
    folder, open_account,
};

/// A projection whose hook fails at accounts called `poison` until it is cured.
fn fragile(cured: &Arc<AtomicBool>, how: fn() -> es_sqlite::HookResult) -> SqliteProjectionBuilder {
    let cured = Arc::clone(cured);
    SqliteProjection::builder("fragile").migration(TABLE).on_account_opened(move |tx, event, _| {
        tx.execute("INSERT INTO balance VALUES (?1, 0)", [&event.account_id])?;
        if event.account_id == "poison" && !cured.load(Ordering::SeqCst) { how() } else { Ok(()) }
    })
}

#[tokio::test]
async fn a_poison_event_stops_the_projection_right_before_its_commit() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    open_account(&store, "b").await;
    let opened = |id: &str| AccountOpened { account_id: id.into() }.new_event();
    let both_at_once = es_core::Commit::append(support::stream("c"), es_core::Expected::Any, vec![opened("c")]).and(
        support::stream("poison"),
        es_core::Expected::Any,
        vec![opened("poison")],
    );
    store.append(both_at_once).await.unwrap();
    open_account(&store, "d").await;

    let failing: [fn() -> es_sqlite::HookResult; 3] =
        [|| Err("not today".into()), || Err(AppError::internal("BROKEN", "not today").into()), || panic!("not today")];
    for (at, how) in failing.into_iter().enumerate() {
        let cured = Arc::new(AtomicBool::new(false));
        let own = path.with_file_name(format!("read-{at}.db"));
        for projection in [fragile(&cured, how).build_in(own, &store), fragile(&cured, how).build(&store)] {
            let projection = projection.unwrap();
            projection.reset().await.unwrap();
            cured.store(false, Ordering::SeqCst);
            for _ in 0..2 {
                let error = projection.catch_up().await.unwrap_err();
                let Error::ProjectionFaulted { name, position, source } = error else { panic!("{error}") };
                assert_eq!((name.as_str(), position), ("fragile", 4));
                assert!(source.to_string().contains("not today") || source.to_string().ends_with("panicked"));
                assert_eq!(projection.checkpoint(0).await.unwrap(), 2, "half a commit is never shown");
                assert_eq!(rows(&projection).await, expected(&[("a", 0), ("b", 0)]));
            }
            append(&store, "unharmed", 1).await;
            cured.store(true, Ordering::SeqCst);
            projection.catch_up().await.unwrap();
            let all = [("a", 0), ("b", 0), ("c", 0), ("d", 0), ("poison", 0)];
            assert_eq!(rows(&projection).await, expected(&all));
        }
    }
}

#[tokio::test]
async fn an_event_that_can_not_be_decoded_stops_the_projection_there() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    let bad = es_core::NewEvent::raw("bank.v1.AccountOpened", vec![0xff]);
    store.append(es_core::Commit::append(support::stream("b"), es_core::Expected::Any, vec![bad])).await.unwrap();
    let projection = balances().build(&store).unwrap();
    assert!(matches!(projection.catch_up().await, Err(Error::ProjectionFaulted { position: 2, .. })));
    assert_eq!(rows(&projection).await, expected(&[("a", 0)]));
}

#[tokio::test]
async fn sql_of_a_hook_can_not_touch_the_transaction_the_settings_or_the_stores_tables() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    let attacks = [
        "COMMIT",
        "ROLLBACK",
        "BEGIN",
        "SAVEPOINT mine",
        "RELEASE es_task",
        "ATTACH 'other.db' AS other",
        "DETACH main",
        "PRAGMA synchronous = OFF",
        "PRAGMA writable_schema = ON",
        "DELETE FROM es_events",
        "DELETE FROM Es_Claims",
        "UPDATE es_checkpoints SET position = 9",
        "INSERT INTO es_types (name) VALUES ('x')",
        "DELETE FROM es_scheduled",
        "DROP TABLE es_snapshots",
        "DROP TRIGGER es_events_are_never_deleted",
        "CREATE TABLE es_mine (id)",
        "CREATE TRIGGER mine AFTER INSERT ON es_events BEGIN SELECT 1; END",
        "CREATE INDEX mine ON es_events (recorded_at)",
        "CREATE TRIGGER mine AFTER INSERT ON balance BEGIN DELETE FROM es_claims; END; INSERT INTO balance VALUES ('z', 0)",
        "ALTER TABLE es_events RENAME TO gone",
    ];
    for attack in attacks {
        for batch in [false, true] {
            let hostile = |name: &str| {
                SqliteProjection::builder(name).on_account_opened(move |tx, _, _| {
                    let done = if batch { tx.execute_batch(attack) } else { tx.execute(attack, ()).map(|_| ()) };
                    Ok(done?)
                })
            };
            balances().build(&store).unwrap();
            let own = path.with_file_name("own.db");
            balances().build_in(&own, &store).unwrap();
            let of_the_store = ["es_events", "es_snapshots", "es_types", "es_claims", "es_scheduled"];
            let tables_are_here = !of_the_store.iter().any(|table| attack.to_lowercase().contains(table));
            for (own_file, projection) in
                [(false, hostile("h").build(&store)), (true, hostile("h").build_in(own, &store))]
            {
                let error = projection.unwrap().catch_up().await.unwrap_err();
                let Error::ProjectionFaulted { source, .. } = error else { panic!("{attack}: {error}") };
                let message = source.to_string();
                let refused = ["refused", "not authorized"];
                // Some tables are not in a read model's file at all, and several statements are no single one.
                let told = refused.iter().any(|words| message.contains(words))
                    || (own_file && !tables_are_here)
                    || message.contains("Multiple statements")
                    || message.contains("cannot start a transaction within");
                assert!(told, "{attack}: {message}");
            }
        }
    }
    append(&store, "unharmed", 1).await;
    store.shutdown().await.unwrap();
    SqliteStore::open(&path).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_ends_the_transaction_harms_only_itself() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    let projection = SqliteProjection::builder("p")
        .migration("CREATE TABLE once (id INTEGER PRIMARY KEY ON CONFLICT ROLLBACK)")
        .on_account_opened(|tx, _, _| {
            tx.execute("INSERT INTO once VALUES (1)", ())?;
            tx.execute("INSERT INTO once VALUES (1)", ())?;
            Ok(())
        })
        .build(&store)
        .unwrap();
    let appends: Vec<_> = (0..32)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    append(&store, &format!("s{n}"), 1).await;
                }
            })
        })
        .collect();
    for _ in 0..20 {
        let error = projection.catch_up().await.unwrap_err();
        assert!(matches!(error, Error::ProjectionFaulted { position: 1, .. }), "{error}");
    }
    for append in appends {
        append.await.unwrap();
    }
    let log = support::log(&store).await;
    assert_eq!(log.len(), 32 * 20 + 1);
    support::assert_sound(&log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_leaves_a_foreign_key_dangling_harms_only_itself() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    let dangling = || {
        SqliteProjection::builder("p")
            .migration("CREATE TABLE owner (id TEXT PRIMARY KEY)")
            .migration("CREATE TABLE car (owner REFERENCES owner DEFERRABLE INITIALLY DEFERRED)")
            .on_account_opened(|tx, event, _| {
                tx.execute("INSERT INTO car VALUES (?1)", [&event.account_id])?;
                Ok(())
            })
    };
    let projection = dangling().build(&store).unwrap();
    let own = dangling().build_in(path.with_file_name("read.db"), &store).unwrap();
    let appends: Vec<_> = (0..16)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    append(&store, &format!("s{n}"), 1).await;
                }
            })
        })
        .collect();
    for _ in 0..10 {
        for projection in [&projection, &own] {
            let error = projection.catch_up().await.unwrap_err();
            assert!(matches!(error, Error::ProjectionFaulted { position: 1, .. }), "{error}");
            assert_eq!(projection.checkpoint(0).await.unwrap(), 0);
        }
    }
    for append in appends {
        append.await.unwrap();
    }
    support::assert_sound(&support::log(&store).await);
}

#[tokio::test]
async fn a_query_can_not_write() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    for projection in both(&path, &store).await {
        for sql in ["INSERT INTO balance VALUES ('x', 1)", "DELETE FROM es_checkpoints"] {
            let error = projection.query(|tx| tx.execute(sql, ())).await.unwrap_err();
            assert!(matches!(error, Error::ReadOnly { .. }), "{error}");
        }
        let error = projection.query(|tx| tx.query("SELECT nonsense", (), |_| Ok(()))).await.unwrap_err();
        assert!(matches!(error, Error::Database { .. }), "{error}");
        assert_eq!(rows(&projection).await, expected(&[]));
    }
}

#[tokio::test]
async fn a_hook_that_writes_to_the_store_is_told_that_it_can_not() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    let inner = store.clone();
    let projection = SqliteProjection::builder("p")
        .on_account_opened(move |_, _, _| {
            let commit = es_core::Commit::append(support::stream("b"), es_core::Expected::Any, support::events(1));
            // The first poll answers.
            let mut append = inner.append(commit);
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            match append.as_mut().poll(&mut context) {
                std::task::Poll::Ready(answer) => Ok(answer.map(|_| ())?),
                std::task::Poll::Pending => panic!("the writer waits for itself"),
            }
        })
        .build(&store)
        .unwrap();
    let Error::ProjectionFaulted { source, .. } = projection.catch_up().await.unwrap_err() else { panic!() };
    let told = "it runs inside the store's writer; send commands from outside of it";
    assert!(source.to_string().ends_with(told), "{source}");
}
