//! Rebuilds over a log that is kept elsewhere, where each answer is a task of the program's runtime.

mod support;

use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use es_core::{
    Commit, Error, EventLog, EventStore, Expected, Filter, MemoryStore, Page, Runner, StoreIdentity, Subscriber,
    Timestamp, store::BoxFuture,
};
use es_sqlite::SqliteProjection;
use support::{
    AccountOpened, MoneyDeposited,
    balances::{balances, expected, rows},
    folder, stream,
};
use tokio::{runtime::Handle, sync::watch};

const WAIT: Duration = Duration::from_secs(20);

/// What happens after an answer to a rebuild was found, and before it is there.
type Meanwhile = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// A log whose answers are tasks of the runtime.
#[derive(Clone)]
struct Remote {
    store: MemoryStore,
    runtime: Handle,
    meanwhile: Arc<Mutex<Option<Arc<Meanwhile>>>>,
}

impl Remote {
    fn new() -> Self {
        Self { store: MemoryStore::new(), runtime: Handle::current(), meanwhile: Arc::default() }
    }

    fn answer<'a, T: Send + 'static>(
        &self,
        answer: impl Future<Output = es_core::Result<T>> + Send + 'static,
    ) -> BoxFuture<'a, es_core::Result<T>> {
        // The thread of a rebuild is outside the runtime.
        let meanwhile = match Handle::try_current() {
            Ok(_) => None,
            Err(_) => self.meanwhile.lock().unwrap().clone(),
        };
        let task = self.runtime.spawn(async move {
            let answer = answer.await;
            if let Some(meanwhile) = meanwhile {
                meanwhile().await;
            }
            answer
        });
        Box::pin(async move { task.await.unwrap_or(Err(Error::ShuttingDown)) })
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remote")
    }
}

impl EventLog for Remote {
    fn read_all<'a>(&'a self, after: u64, limit: usize, filter: &'a Filter) -> BoxFuture<'a, es_core::Result<Page>> {
        let (store, filter) = (self.store.clone(), filter.clone());
        self.answer(async move { store.read_all(after, limit, &filter).await })
    }

    fn head(&self) -> BoxFuture<'_, es_core::Result<u64>> {
        let store = self.store.clone();
        self.answer(async move { store.head().await })
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.store.watch()
    }

    fn identity(&self) -> StoreIdentity {
        self.store.identity()
    }

    fn now(&self) -> Timestamp {
        self.store.now()
    }
}

async fn open(store: &MemoryStore) {
    let opened = vec![AccountOpened { account_id: "ada".into() }.new_event()];
    store.append(Commit::append(stream("ada"), Expected::NoStream, opened)).await.unwrap();
}

async fn deposit(store: &MemoryStore) {
    let deposited = vec![MoneyDeposited { account_id: "ada".into(), cents: 1 }.new_event()];
    store.append(Commit::append(stream("ada"), Expected::StreamExists, deposited)).await.unwrap();
}

/// Runs on a runtime with one thread, in a thread of its own: one that is stuck has no timeouts either.
fn on_one_thread(test: impl Future<Output = ()> + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let ran = thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
        done.send(()).unwrap();
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = wait.recv_timeout(WAIT) {
        panic!("the runtime is stuck");
    }
    ran.join().unwrap();
}

/// Waits until the live projection has handled all there is.
async fn followed(projection: &SqliteProjection, store: &MemoryStore) {
    let head = store.head().await.unwrap();
    while projection.checkpoint(0).await.unwrap() < head {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_runner_on_the_only_thread_goes_on_beside_a_rebuild() {
    on_one_thread(async {
        let (_folder, path) = folder();
        let log = Remote::new();
        let store = log.store.clone();
        open(&store).await;
        let projection = balances().build_over(path.with_file_name("read.db"), log.clone()).unwrap();
        let running = Runner::new(log.clone()).run(projection.clone()).start().unwrap();
        followed(&projection, &store).await;

        // Each answer is out of date when it comes: the live projection is beyond it.
        const MOVES: u32 = 12;
        let left = Arc::new(AtomicU32::new(MOVES));
        let meanwhile: Meanwhile = Box::new({
            let (store, projection, left) = (store.clone(), projection.clone(), Arc::clone(&left));
            move || {
                let (store, projection, left) = (store.clone(), projection.clone(), Arc::clone(&left));
                Box::pin(async move {
                    if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                        deposit(&store).await;
                        followed(&projection, &store).await;
                    }
                })
            }
        });
        *log.meanwhile.lock().unwrap() = Some(Arc::new(meanwhile));
        let rebuilt = projection.rebuild().await.unwrap();
        *log.meanwhile.lock().unwrap() = None;

        assert_eq!(left.load(Ordering::Relaxed), 0, "it reads on as long as the live one is beyond what was read");
        assert_eq!(rebuilt, u64::from(1 + MOVES));
        assert_eq!(projection.checkpoint(0).await.unwrap(), rebuilt);
        deposit(&store).await;
        followed(&projection, &store).await;
        assert_eq!(rows(&projection).await, expected(&[("ada", i64::from(MOVES) + 1)]));
        running.shutdown().await;
    });
}
