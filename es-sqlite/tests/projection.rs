//! Read models: kept in step with the log, each event counted once.

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use es_core::{EventLog, EventStore, HookBuilder, Subscriber};
use es_sqlite::{SqliteProjection, SqliteStore, rusqlite::OptionalExtension};
use support::{
    AccountHooks, AccountOpened, MoneyDeposited,
    balances::{balances, both, expected, rows},
    deposit, folder, open_account,
};

#[tokio::test]
async fn a_projection_catches_up_and_then_follows() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    open_account(&store, "b").await;
    deposit(&store, &[("a", 500), ("b", -20)]).await;
    for projection in both(&path, &store).await {
        assert_eq!(projection.name(), "balances");
        assert_eq!(projection.checkpoint(0).await.unwrap(), 0);
        assert_eq!(rows(&projection).await, expected(&[]));
        assert_eq!(projection.catch_up().await.unwrap(), 4);
        assert_eq!(rows(&projection).await, expected(&[("a", 500), ("b", -20)]));
    }
    let mut heads = store.watch();
    let [same, own] = both(&path, &store).await;
    deposit(&store, &[("a", 1)]).await;
    heads.wait_for(|head| *head == 5).await.unwrap();
    for projection in [same, own] {
        let progress = projection.advance(&store, 0).await.unwrap();
        assert_eq!((progress.checkpoint, progress.caught_up), (5, true));
        assert_eq!(rows(&projection).await, expected(&[("a", 501), ("b", -20)]));
        let cents = projection
            .query(|tx| {
                tx.query_row("SELECT cents FROM balance WHERE account_id = ?1", ["nobody"], |row| row.get::<_, i64>(0))
                    .optional()
            })
            .await;
        assert_eq!(cents.unwrap(), None);
    }
}

#[tokio::test]
async fn events_without_hooks_move_the_checkpoint_and_nothing_else() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let other = es_core::NewEvent::raw("bank.v1.Other", vec![0xff]);
    for _ in 0..3 {
        let all = es_core::Commit::append(support::stream("x"), es_core::Expected::Any, vec![other.clone(); 500]);
        store.append(all).await.unwrap();
    }
    for projection in both(&path, &store).await {
        assert_eq!(projection.catch_up().await.unwrap(), 1_500);
        assert_eq!(rows(&projection).await, expected(&[]));
    }
}

#[tokio::test]
async fn a_long_log_goes_through_in_pages() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    let one = MoneyDeposited { account_id: "a".into(), cents: 1 }.new_event();
    for _ in 0..25 {
        let all = es_core::Commit::append(support::stream("a"), es_core::Expected::Any, vec![one.clone(); 100]);
        store.append(all).await.unwrap();
    }
    // In the store's file the pages are small near the head, where the writer has others waiting.
    let pages: [&[u64]; 2] = [&[1_001, 2_001, 2_201, 2_401, 2_501], &[1_001, 2_001, 2_501]];
    for (projection, pages) in both(&path, &store).await.into_iter().zip(pages) {
        for page in pages {
            let progress = projection.advance(&store, 0).await.unwrap();
            assert_eq!((progress.checkpoint, progress.caught_up), (*page, *page == 2_501));
        }
        assert_eq!(rows(&projection).await, expected(&[("a", 2_500)]));
    }
}

#[tokio::test]
async fn two_owners_of_one_projection_never_count_an_event_twice() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    let (first, second) = (balances().build(&store).unwrap(), balances().build(&store).unwrap());
    for round in 1_u32..=20 {
        deposit(&store, &[("a", 1)]).await;
        let (one, two) = tokio::join!(first.catch_up(), second.catch_up());
        let head = u64::from(round) + 1;
        assert_eq!((one.unwrap(), two.unwrap()), (head, head), "the second goes on where the first is");
        assert_eq!(rows(&first).await, expected(&[("a", round.into())]));
    }
}

#[tokio::test]
async fn clones_take_turns() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    let projection = balances().build(&store).unwrap();
    let clone = projection.clone();
    for round in 1..=20 {
        deposit(&store, &[("a", 1)]).await;
        let (one, two) = tokio::join!(projection.catch_up(), clone.catch_up());
        assert_eq!((one.unwrap(), two.unwrap()), (round + 1, round + 1));
    }
    assert_eq!(rows(&projection).await, expected(&[("a", 20)]));
}

#[tokio::test]
async fn hooks_of_one_event_run_in_order_and_see_its_meta() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let metadata = es_core::Metadata::default().principal("alice").correlation("order-17").entry("channel", "web");
    let event = AccountOpened { account_id: "a".into() }.new_event();
    let commit = es_core::Commit::append(support::stream("a"), es_core::Expected::Any, vec![event]).metadata(metadata);
    store.append(commit).await.unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let (first, second) = (Arc::clone(&calls), Arc::clone(&calls));
    let projection = SqliteProjection::builder("p")
        .on_account_opened(move |_, _, _| {
            assert_eq!(first.fetch_add(1, Ordering::SeqCst), 0);
            Ok(())
        })
        .on::<AccountOpened, _>(move |_, event, meta| {
            assert_eq!(second.fetch_add(1, Ordering::SeqCst), 1);
            assert_eq!((event.account_id.as_str(), meta.stream.id.as_str()), ("a", "a"));
            let origin = meta.origin()?;
            assert_eq!(origin.principal_id.as_deref(), Some("alice"));
            assert_eq!(origin.correlation_id.as_deref(), Some("order-17"));
            assert_eq!(origin.entries["channel"], "web");
            Ok(())
        })
        .build(&store)
        .unwrap();
    projection.catch_up().await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[test]
fn a_projection_can_be_built_and_run_on_a_single_thread_while_the_queue_is_full() {
    let (_folder, path) = folder();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(&path).await.unwrap();
        let big = || vec![es_core::NewEvent::raw("bank.v1.Other", vec![0; 200 << 10]); 30];
        let appends: Vec<_> = (0..20)
            .map(|n| {
                let store = store.clone();
                let commit = es_core::Commit::append(support::stream(&format!("s{n}")), es_core::Expected::Any, big());
                tokio::spawn(async move { store.append(commit).await })
            })
            .collect();
        tokio::task::yield_now().await;
        let projection = balances().build(&store).unwrap();
        for append in appends {
            append.await.unwrap().unwrap();
        }
        assert_eq!(projection.catch_up().await.unwrap(), 600);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_keeps_projections_live_also_with_another_stores_writes() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let other = SqliteStore::open(&path).await.unwrap();
    let own = balances().build_in(path.with_file_name("read.db"), &store).unwrap();
    let running = es_core::Runner::new(store.clone()).run(own.clone()).start().unwrap();
    let wait = async |position| {
        let at_most = std::time::Duration::from_secs(10);
        running.wait_for_position("balances", position, at_most).await.unwrap();
    };
    open_account(&store, "a").await;
    wait(1).await;
    assert_eq!(rows(&own).await, expected(&[("a", 0)]));
    deposit(&other, &[("a", 5)]).await;
    wait(2).await;
    assert_eq!(rows(&own).await, expected(&[("a", 5)]));
    running.shutdown().await;
}
