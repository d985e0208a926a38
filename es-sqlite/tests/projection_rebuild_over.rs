//! Rebuilds over a log that is kept elsewhere, where each answer is a task of the program's runtime.

mod support;

use std::{
    fmt,
    future::Future,
    path::Path,
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
    folder,
    rebuild::scratch_files,
    stream,
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
    fails: Arc<Mutex<Fails>>,
    /// A rebuild's questions so far.
    asked: Arc<AtomicU32>,
}

/// How a rebuild's nth question fails.
type Fails = Box<dyn FnMut(u32) -> Option<Error> + Send>;

impl Remote {
    fn new() -> Self {
        let fails: Fails = Box::new(|_| None);
        let fails = Arc::new(Mutex::new(fails));
        let (meanwhile, asked) = Default::default();
        Self { store: MemoryStore::new(), runtime: Handle::current(), meanwhile, fails, asked }
    }

    fn fail(&self, how: impl FnMut(u32) -> Option<Error> + Send + 'static) {
        self.asked.store(0, Ordering::Relaxed);
        *self.fails.lock().unwrap() = Box::new(how);
    }

    fn answer<'a, T: Send + 'static>(
        &self,
        found: impl Future<Output = es_core::Result<T>> + Send + 'static,
    ) -> BoxFuture<'a, es_core::Result<T>> {
        // The thread of a rebuild is outside the runtime.
        let is_rebuild = Handle::try_current().is_err();
        let meanwhile = self.meanwhile.lock().unwrap().clone().filter(|_| is_rebuild);
        let failure = match is_rebuild {
            true => (self.fails.lock().unwrap())(self.asked.fetch_add(1, Ordering::Relaxed)),
            false => None,
        };
        let task = self.runtime.spawn(async move {
            let answer = match failure {
                Some(error) => Err(error),
                None => found.await,
            };
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

/// A log with ten deposits, and their read model.
async fn ten_deposits(read: &Path) -> (Remote, SqliteProjection) {
    let log = Remote::new();
    open(&log.store).await;
    for _ in 0..10 {
        deposit(&log.store).await;
    }
    let projection = balances().build_over(read, log.clone()).unwrap();
    (log, projection)
}

fn unavailable() -> Error {
    Error::Unavailable { why: "the connection was lost".into() }
}

#[tokio::test]
async fn a_log_that_is_out_of_reach_for_a_while_is_asked_again() {
    let (_folder, path) = folder();
    let (log, projection) = ten_deposits(&path).await;
    // Each question fails twice.
    log.fail(|asked| (asked % 3 != 2).then(unavailable));
    assert_eq!(projection.rebuild().await.unwrap(), 11);
    assert_eq!(rows(&projection).await, expected(&[("ada", 10)]));
    assert!(log.asked.load(Ordering::Relaxed) >= 9, "a page and the head, and the head again");
}

#[tokio::test]
async fn what_would_not_heal_ends_the_rebuild() {
    let (_folder, path) = folder();
    let (log, projection) = ten_deposits(&path).await;
    log.fail(|_| Some(Error::ShuttingDown));
    let error = projection.rebuild().await.unwrap_err();
    assert!(matches!(error, Error::ShuttingDown), "{error}");
    log.fail(|_| Some(Error::Corrupt { what: "event 3".into(), why: "a test's".into() }));
    let error = projection.rebuild().await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_rebuild_that_waits_for_its_log_can_be_given_up() {
    let (_folder, path) = folder();
    let (log, projection) = ten_deposits(&path).await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    log.fail(move |asked| {
        let _ = tell.send(asked);
        Some(unavailable())
    });
    tokio::select! {
        _ = projection.rebuild() => panic!("it waits"),
        // The next pause is longer than another rebuild waits for the scratch file.
        () = async { while told.recv().await.unwrap() < 7 {} } => {}
    }
    log.fail(|_| None);
    assert_eq!(projection.rebuild().await.unwrap(), 11);
    assert!(scratch_files(&path).is_empty());
}
