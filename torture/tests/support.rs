//! What several tests need.

use std::{future::Future, path::PathBuf, sync::Once, time::Duration};

use es_core::{EventStore, Filter, RecordedEvent, Runner, runner::State};
use futures_util::{StreamExt, stream::select_all};
use tempfile::TempDir;
use torture::{child::Running, journal::Journal, work};

/// A folder that goes when the test ends, and the path of a store in it.
pub(crate) fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("victim.db");
    (folder, path)
}

/// Runs a test on two threads.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(test)
}

/// Leaves children alone for a while once one of them is ready, so many microseconds at most, and kills them all in any
/// order. Says how many were there to be killed.
pub(crate) fn massacre(mut children: Vec<Running>, rng: &mut fastrand::Rng, micros: u64) -> u64 {
    let first = rng.usize(..children.len());
    children[first].until_ready();
    std::thread::sleep(Duration::from_micros(rng.u64(..micros)));
    rng.shuffle(&mut children);
    let kills = children.iter_mut().map(|child| u64::from(child.kill())).sum();
    children.into_iter().for_each(assert_sound);
    kills
}

/// A killed child has found nothing wrong.
pub(crate) fn assert_sound(child: Running) {
    let (_, said, complained) = child.end();
    assert!(!complained.contains("panicked"), "{said}\n{complained}");
}

/// Runs subscribers until the process is killed; none of them may stop by itself.
pub(crate) async fn run_for_ever(runner: Runner<es_sqlite::SqliteStore>, names: &[&str]) {
    let running = runner.start().unwrap();
    let mut changes = select_all(names.iter().map(|name| running.changes(name).unwrap()));
    while let Some(status) = changes.next().await {
        assert!(!matches!(status.state, State::Faulted(_)), "{status:?}");
    }
}

/// Appends by lot until the process is killed.
pub(crate) async fn append_for_ever(store: &dyn EventStore, name: &str) {
    let journal = Journal::in_memory();
    let mut rng = fastrand::Rng::new();
    for number in 0.. {
        let ask = work::by_lot(&mut rng, name, number);
        ask.append(store, &journal).await.expect("nothing but a kill keeps it from appending");
    }
}

/// Reads on in a log after a position.
pub(crate) async fn read_after(store: &dyn EventStore, mut position: u64) -> Vec<RecordedEvent> {
    let mut log = Vec::new();
    loop {
        let page = store.read_all(position, 1_000, &Filter::all()).await.unwrap();
        if page.events.is_empty() {
            return log;
        }
        position = page.scanned_to;
        log.extend(page.events);
    }
}

/// What the message of a panic starts with that a test wants to happen.
pub(crate) const WANTED: &str = "wanted:";

/// Keeps panics that are wanted from filling the screen.
pub(crate) fn expect_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let payload = panic.payload();
            let message = payload.downcast_ref::<String>().map(String::as_str);
            if !message.or(payload.downcast_ref().copied()).is_some_and(|message: &str| message.contains(WANTED)) {
                usual(panic);
            }
        }));
    });
}
