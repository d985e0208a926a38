//! Appends from wherever a future can be polled: every kind of runtime, and none.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, mpsc},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use es_core::{EventStore, Expected};
use es_sqlite::SqliteStore;
use torture::{checker::Checker, effort, journal::Journal, table::Row, work::Ask};

use crate::support::{folder, run};

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls a future on this thread, without a runtime.
fn poll_here<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Fails a test that hangs.
fn within_two_minutes(test: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match ended.recv_timeout(Duration::from_secs(120)) {
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => thread.join().expect("no panic"),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
    }
}

/// Appends and reads, a number of times.
async fn use_store(store: SqliteStore, journal: Arc<Journal>, name: String) {
    for number in 0..effort::times(20, 500) {
        let ask = Ask::new(format!("{name}-{number}")).to(&name, 1, Expected::Exact(number));
        ask.to("shared", 1, Expected::Any).append(&store, &journal).await.unwrap();
        assert_eq!(store.version(&torture::work::stream(&name)).await.unwrap(), number + 1);
        if number % 5 == 0 {
            YieldOnce(false).await;
        }
    }
}

/// Gives way once, with or without a runtime.
struct YieldOnce(bool);

impl Future for YieldOnce {
    type Output = ();

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn current_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

type Way = fn(SqliteStore, Arc<Journal>, String);

const WAYS: [(&str, Way); 7] = [
    ("no-runtime", |store, journal, name| poll_here(use_store(store, journal, name))),
    ("current-thread", |store, journal, name| current_thread().block_on(use_store(store, journal, name))),
    ("many-on-one-thread", |store, journal, name| {
        let one = |n: u32| use_store(store.clone(), Arc::clone(&journal), format!("{name}-{n}"));
        current_thread().block_on(futures_util::future::join_all((0..4).map(one)));
    }),
    ("local-set", |store, journal, name| {
        let local = tokio::task::LocalSet::new();
        let task = async { tokio::task::spawn_local(use_store(store, journal, name)).await.unwrap() };
        current_thread().block_on(local.run_until(task));
    }),
    ("local-set-of-many-threads", |store, journal, name| {
        let local = tokio::task::LocalSet::new();
        run(local.run_until(async { tokio::task::spawn_local(use_store(store, journal, name)).await.unwrap() }));
    }),
    ("many-threads", |store, journal, name| {
        run(async { tokio::spawn(use_store(store, journal, name)).await.unwrap() });
    }),
    ("blocking-thread", |store, journal, name| {
        run(async { tokio::task::spawn_blocking(|| poll_here(use_store(store, journal, name))).await.unwrap() });
    }),
];

#[test]
fn an_append_works_on_every_runtime_and_on_none_one_after_another_and_all_at_once() {
    within_two_minutes(|| {
        let (_folder, path) = folder();
        let store = poll_here(SqliteStore::open(&path)).unwrap();
        let journal = Arc::new(Journal::in_memory());
        for (name, way) in WAYS {
            way(store.clone(), Arc::clone(&journal), name.into());
        }
        let threads: Vec<_> = WAYS
            .into_iter()
            .map(|(name, way)| {
                let (store, journal) = (store.clone(), Arc::clone(&journal));
                std::thread::spawn(move || way(store, journal, format!("together-{name}")))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let mut checker = Checker::new();
        checker.learn(journal.take());
        poll_here(checker.check_whole(&store));
        poll_here(store.shutdown()).unwrap();
        Row { rounds: 2, acknowledged: checker.acknowledged(), ..Row::default() }
            .close("every kind of runtime", checker.violations());
    });
}

/// A store may be closed, or its last clone dropped, on any of them, also while another appends.
#[test]
fn a_store_can_be_closed_from_every_runtime_and_from_none() {
    within_two_minutes(|| {
        for round in 0..effort::times(5, 100) {
            let (_folder, path) = folder();
            let store = poll_here(SqliteStore::open(&path)).unwrap();
            let journal = Arc::new(Journal::in_memory());
            use_a_little(&store, &journal, round);
            match round % 3 {
                0 => current_thread().block_on(store.shutdown()).unwrap(),
                1 => poll_here(store.shutdown()).unwrap(),
                _ => run(async { drop(store) }),
            }
            let store = poll_here(SqliteStore::open(&path)).unwrap();
            let mut checker = Checker::new();
            checker.learn(journal.take());
            poll_here(checker.check_whole(&store));
            assert!(checker.violations().is_empty(), "{:?}", checker.violations());
        }
    });
}

fn use_a_little(store: &SqliteStore, journal: &Journal, round: u64) {
    for number in 0..5 {
        let ask = Ask::new(format!("{round}-{number}")).to("a", 1, Expected::Any);
        poll_here(ask.append(store, journal)).unwrap();
    }
}
