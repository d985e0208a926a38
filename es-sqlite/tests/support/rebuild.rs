//! Read models that are rebuilt: two accounts, and hooks that wait or record inside a rebuild.

#![allow(dead_code, missing_docs, unreachable_pub)]

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use es_sqlite::{SqliteProjection, SqliteProjectionBuilder, SqliteStore};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::support::{AccountHooks, balances::balances, deposit, open_account};

/// The store with two accounts, 7 in `a` and 1 in `b`.
pub async fn bank(path: &Path) -> SqliteStore {
    let store = SqliteStore::open(path).await.unwrap();
    open_account(&store, "a").await;
    open_account(&store, "b").await;
    deposit(&store, &[("a", 7), ("b", 1)]).await;
    store
}

/// In the store's file and in a file of its own.
pub fn build(own_file: bool, builder: SqliteProjectionBuilder, path: &Path, store: &SqliteStore) -> SqliteProjection {
    let read = path.with_file_name("read.db");
    if own_file { builder.build_in(read, store).unwrap() } else { builder.build(store).unwrap() }
}

/// The names of scratch files.
pub fn scratch_files(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().unwrap().read_dir().unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    files.filter(|path| path.to_str().unwrap().contains(".rebuild")).collect()
}

/// A hook that waits inside a rebuild, until it is let go.
pub struct Gate {
    reached: UnboundedReceiver<()>,
    go: mpsc::Sender<()>,
}

impl Gate {
    pub async fn reached(&mut self) {
        self.reached.recv().await.unwrap();
    }

    pub fn open(&self) {
        self.go.send(()).unwrap();
    }
}

/// `balances`, waiting at the first event of each rebuild.
pub fn gated() -> (SqliteProjectionBuilder, Gate) {
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

/// Has the hook for the nth event of the log record one more, so that this is left to the last transaction.
pub fn records_one_more(nth: u64, store: &SqliteStore) -> impl Fn(u64) + Send + Sync + 'static {
    let (store, once) = (store.clone(), AtomicBool::new(false));
    move |position| {
        if position == nth && !once.swap(true, Ordering::Relaxed) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(deposit(&store, &[("a", 100)]));
        }
    }
}
