//! The store as its users see it, where the conformance suite does not look: files, tasks, threads.

mod support;

use std::{ops::ControlFlow, time::Duration};

use es_core::{
    Answer, Appended, CommandId, CommandRecord, Commit, Error, EventLog, EventStore, Expected, Filter, ManualClock,
    Snapshot, Timestamp,
};
use es_sqlite::{Durability, SqliteStore};
use support::{append, assert_sound, commit, events, folder, log, payloads, stream};

#[tokio::test]
async fn what_was_stored_is_there_after_reopening() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let record = CommandRecord {
        id: CommandId::new("c-1").unwrap(),
        payload_hash: [7; 32],
        answer: Answer::Accepted(b"done".to_vec()),
        stream: stream("a"),
        version: 3,
    };
    let claiming: Vec<_> = events(3).into_iter().map(|event| event.claim("email", "a@b")).collect();
    commit(&store, Commit::append(stream("a"), Expected::NoStream, claiming).command(record.clone())).await.unwrap();
    store.offer_snapshot(Snapshot { stream: stream("a"), fingerprint: 9, version: 3, state: b"state".to_vec() });
    let (identity, before) = (store.identity(), log(&store).await);
    store.shutdown().await.unwrap();
    assert!(!path.with_extension("db-wal").exists(), "a closed store is one file");

    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.identity(), identity);
    assert_eq!(log(&store).await, before);
    assert_eq!(payloads(&store, "a", 1).await.unwrap().len(), 2);
    assert_eq!(store.outcome(None, &record.id).await.unwrap().unwrap().record, record);
    assert_eq!(store.claimant(None, "email", "a@b").await.unwrap(), Some(stream("a")));
    assert_eq!(store.snapshot(&stream("a"), 9).await.unwrap().unwrap().state, b"state");
    assert_eq!(append(&store, "a", 1).await.versions, [4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_tasks_that_append_at_once_all_get_their_own_place() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    append(&store, &format!("own-{task}"), 2).await;
                    append(&store, "shared", 1).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let log = log(&store).await;
    assert_eq!(log.len(), 64 * 20 * 3);
    assert_sound(&log);
    assert_eq!(store.version(&stream("shared")).await.unwrap(), 64 * 20);
    assert_eq!(*store.watch().borrow(), log.len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_expect_the_same_version_one_wins_each_time() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    for version in 0..10 {
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let store = store.clone();
                let wanted = Commit::append(stream("a"), Expected::Exact(version), events(1));
                tokio::spawn(async move { store.append(wanted).await })
            })
            .collect();
        let mut winners = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(_) => winners += 1,
                Err(Error::Conflict { actual, .. }) => assert_eq!(actual, version + 1),
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(winners, 1);
    }
}

#[tokio::test]
async fn a_refused_commit_does_not_disturb_those_beside_it() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    append(&store, "taken", 1).await;
    let both = |id: &str| {
        Commit::append(stream(id), Expected::NoStream, events(2)).and(stream("taken"), Expected::NoStream, events(1))
    };
    // All three are queued before the writer runs, so they share a transaction or not: the answers are the same.
    let (a, b, c) = tokio::join!(
        store.append(Commit::append(stream("x"), Expected::NoStream, events(1))),
        store.append(both("y")),
        store.append(Commit::append(stream("z"), Expected::NoStream, events(1))),
    );
    assert!(a.is_ok() && c.is_ok());
    assert!(matches!(b, Err(Error::Conflict { actual: 1, .. })));
    assert_eq!(store.version(&stream("y")).await.unwrap(), 0);
    // A row id that a refused stream might have had belongs to another one now.
    append(&store, "w", 1).await;
    append(&store, "y", 1).await;
    assert_sound(&log(&store).await);
}

#[tokio::test]
async fn a_visitor_can_stop_early_and_its_error_is_passed_on() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    append(&store, "a", 5).await;
    let mut seen = 0;
    let mut stop = |event: es_core::RecordedRef<'_>| {
        seen = event.version;
        Ok(if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    assert_eq!(store.fold(&stream("a"), 0, &mut stop).await.unwrap(), 2);
    let mut fail = |_: es_core::RecordedRef<'_>| -> es_core::Result<ControlFlow<()>> {
        Err(Error::HandlerPanicked { what: "the test".into() })
    };
    assert!(matches!(store.fold(&stream("a"), 0, &mut fail).await, Err(Error::HandlerPanicked { .. })));
    assert_eq!(payloads(&store, "a", 5).await.unwrap().len(), 0);
    assert_eq!(payloads(&store, "a", u64::MAX).await.unwrap().len(), 0);
}

#[test]
fn the_store_works_without_a_runtime_and_inside_a_local_set() {
    let (_folder, path) = folder();
    let work = async |path: std::path::PathBuf| {
        let store = SqliteStore::open(path).await.unwrap();
        append(&store, "a", 1).await;
        payloads(&store, "a", 0).await.unwrap().len()
    };
    assert_eq!(without_runtime(work(path.clone())), 1);
    let multi = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let path_again = path.clone();
    let inside = local.run_until(async { tokio::task::spawn_local(work(path_again)).await.unwrap() });
    assert_eq!(multi.block_on(inside), 2);
    assert_eq!(multi.block_on(work(path)), 3);
}

fn without_runtime<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[tokio::test]
async fn time_does_not_run_back_when_the_clock_does() {
    let (_folder, path) = folder();
    let clock = std::sync::Arc::new(ManualClock::at(Timestamp::from_micros(1_000_000)));
    let store = SqliteStore::builder(&path).clock(clock.clone()).open().await.unwrap();
    append(&store, "a", 1).await;
    clock.set(Timestamp::from_micros(5));
    let later = append(&store, "a", 1).await;
    assert_eq!(later.recorded_at, Timestamp::from_micros(1_000_000));
    assert_sound(&log(&store).await);
}

#[tokio::test]
async fn a_page_of_the_log_ends_where_a_commit_ends() {
    let (_folder, path) = folder();
    let store = SqliteStore::builder(&path).durability(Durability::MayLoseRecentOnPowerLoss).open().await.unwrap();
    for (id, count) in [("a", 1), ("b", 7), ("c", 2)] {
        append(&store, id, count).await;
    }
    let page = store.read_all(0, 2, &Filter::all()).await.unwrap();
    assert_eq!((page.events.len(), page.scanned_to), (8, 8));
    assert_eq!((page.events[3].meta.commit_first, page.events[3].meta.commit_last), (2, 8));
    let page = store.read_all(8, 2, &Filter::all()).await.unwrap();
    assert_eq!((page.events.len(), page.scanned_to), (2, 10));
    let page = store.read_all(10, 2, &Filter::all()).await.unwrap();
    assert_eq!((page.events.len(), page.scanned_to), (0, 10));
    let nothing = store.read_all(0, 2, &Filter::all().event_types(["no.such.Event"])).await.unwrap();
    assert_eq!((nothing.events.len(), nothing.scanned_to), (0, 10), "an empty page moves on");
}

#[tokio::test]
async fn a_snapshot_ahead_of_its_stream_is_never_kept() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    append(&store, "a", 2).await;
    let snapshot =
        |version| Snapshot { stream: stream("a"), fingerprint: u64::MAX, version, state: vec![version as u8] };
    for version in [2, 3, 1, 0] {
        store.offer_snapshot(snapshot(version));
    }
    append(&store, "b", 1).await;
    assert_eq!(store.snapshot(&stream("a"), u64::MAX).await.unwrap(), Some(snapshot(2)));
    assert_eq!(store.snapshot(&stream("a"), 1).await.unwrap(), None);
    assert_eq!(store.snapshot(&stream("nobody"), 1).await.unwrap(), None);
}

#[tokio::test]
async fn answers_to_commands_are_kept_for_a_week_whatever_the_clock_says() {
    let (_folder, path) = folder();
    let day = Duration::from_secs(24 * 60 * 60);
    let clock = std::sync::Arc::new(ManualClock::at(Timestamp::from_micros(1_790_000_000_000_000)));
    let id = CommandId::new("c-1").unwrap();
    let command = |id: &CommandId| CommandRecord {
        id: id.clone(),
        payload_hash: [1; 32],
        answer: Answer::Rejected(vec![]),
        stream: stream("a"),
        version: 0,
    };
    let known_after_reopening = async || {
        let store = SqliteStore::builder(&path).clock(clock.clone()).open().await.unwrap();
        // A commit makes the writer look for old answers.
        append(&store, "a", 1).await;
        let known = store.outcome(None, &id).await.unwrap().is_some();
        store.shutdown().await.unwrap();
        known
    };
    let store = SqliteStore::builder(&path).clock(clock.clone()).open().await.unwrap();
    store.append(Commit::default().command(command(&id))).await.unwrap();
    store.shutdown().await.unwrap();

    clock.advance(day * 3650);
    for restart in 0..5 {
        assert!(known_after_reopening().await, "a clock ten years ahead made restart {restart} forget");
    }
    for _ in 0..4 {
        known_after_reopening().await;
    }
    assert!(!known_after_reopening().await, "an answer is not kept for ever");
    let store = SqliteStore::open(&path).await.unwrap();
    let appended = store.append(Commit::default().command(command(&id))).await.unwrap();
    assert!(matches!(appended, Appended::Committed(_)), "a forgotten command is a new one");
}

#[tokio::test]
async fn it_says_since_when_it_has_all_answers_and_a_clock_that_is_ahead_does_not_change_that() {
    let (_folder, path) = folder();
    let day = Duration::from_secs(24 * 60 * 60);
    let begun = Timestamp::from_micros(1_790_000_000_000_000);
    let days_before = |days: u64| begun.as_micros() - i64::try_from((day * days as u32).as_micros()).unwrap();
    let clock = std::sync::Arc::new(ManualClock::at(begun));
    let since_after_opening = async || {
        let store = SqliteStore::builder(&path).clock(clock.clone()).open().await.unwrap();
        let opened = store.answers_since();
        // A commit makes the writer look for old answers.
        append(&store, "a", 1).await;
        store.shutdown().await.unwrap();
        (opened.as_micros(), store.answers_since().as_micros())
    };
    let (_, first) = since_after_opening().await;
    assert_eq!(first, days_before(7));
    clock.advance(day * 3650);
    // By one day for each time it is opened, however far the clock has gone.
    assert_eq!(since_after_opening().await, (days_before(7), days_before(6)));
    assert_eq!(since_after_opening().await, (days_before(6), days_before(5)));
}

#[tokio::test]
async fn no_secret_and_no_payload_is_in_what_a_store_prints_of_itself() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    commit(&store, Commit::append(stream("a"), Expected::Any, vec![es_core::NewEvent::raw("t", b"canary".to_vec())]))
        .await
        .unwrap();
    assert!(!format!("{store:?}").contains("canary"));
}
