//! What several tests need.

use std::{future::Future, path::PathBuf, sync::Once};

use tempfile::TempDir;

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
