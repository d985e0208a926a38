//! Projections kept up to date by a runner.

mod domain;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{Account, deposited};
use es_core::{
    Error, EventStore, Filter, MemoryStore, Progress, Receipt, Repository, Result, Runner, Subscriber, runner::State,
    store::BoxFuture,
};

/// Adds up deposits in memory, two events at a time.
#[derive(Clone, Debug)]
struct Total {
    name: &'static str,
    sum: Arc<Mutex<(u64, usize)>>,
    fault: Arc<AtomicBool>,
    panics: bool,
}

fn total(name: &'static str) -> Total {
    Total { name, sum: Arc::default(), fault: Arc::default(), panics: false }
}

impl Subscriber for Total {
    fn name(&self) -> &str {
        self.name
    }

    fn checkpoint(&self, _partition: u32) -> BoxFuture<'_, Result<u64>> {
        Box::pin(async { Ok(self.sum.lock().unwrap().0) })
    }

    fn advance<'a>(&'a self, store: &'a dyn EventStore, partition: u32) -> BoxFuture<'a, Result<Progress>> {
        Box::pin(async move {
            let checkpoint = self.checkpoint(partition).await?;
            let page = store.read_all(checkpoint, 2, &Filter::all()).await?;
            if !page.events.is_empty() {
                assert!(!self.panics, "a hook that panics, on purpose");
                if self.fault.load(Ordering::SeqCst) {
                    let position = page.events[0].meta.position;
                    return Err(Error::ProjectionFaulted { name: self.name.into(), position, source: "no".into() });
                }
            }
            let caught_up = page.scanned_to >= store.head().await?;
            let mut sum = self.sum.lock().unwrap();
            *sum = (page.scanned_to, sum.1 + page.events.len());
            Ok(Progress::at(page.scanned_to).caught_up(caught_up))
        })
    }
}

async fn deposit(store: &MemoryStore) -> Receipt {
    let accounts = Repository::<Account>::new(store.clone());
    accounts
        .execute("a", |a| {
            a.emit(deposited(1));
            Ok(())
        })
        .await
        .unwrap()
        .receipt()
        .clone()
}

#[tokio::test]
async fn a_projection_catches_up_and_then_follows() {
    let store = MemoryStore::new();
    for _ in 0..7 {
        deposit(&store).await;
    }
    let total = total("total");
    let running = Runner::new(store.clone()).run(total.clone()).start().unwrap();
    let last = deposit(&store).await;
    running.wait_for("total", &last).await.unwrap();
    assert_eq!(*total.sum.lock().unwrap(), (8, 8));
    for expected in 9..20 {
        running.wait_for("total", &deposit(&store).await).await.unwrap();
        assert_eq!(total.sum.lock().unwrap().1, expected);
    }
    assert!(matches!(running.status("total").unwrap().state, State::Live));
    running.shutdown().await;
}

#[tokio::test]
async fn waiting_for_a_projection_that_does_not_run_is_an_error() {
    let store = MemoryStore::new();
    let running = Runner::new(store.clone()).run(total("total")).start().unwrap();
    let error = running.wait_for("nobody", &deposit(&store).await).await.unwrap_err();
    assert_eq!(error.to_string(), "no projection named `nobody` runs here, only: total");
}

#[tokio::test]
async fn a_wait_that_takes_too_long_names_the_projection_and_where_it_stands() {
    let running = Runner::new(MemoryStore::new()).run(total("total")).start().unwrap();
    let error = running.wait_for_position("total", 5, Duration::from_millis(20)).await.unwrap_err();
    let expected = "projection `total` is at position 0 after ";
    assert!(error.to_string().starts_with(expected) && error.to_string().ends_with("not yet at 5"), "{error}");
}

#[tokio::test]
async fn a_faulted_projection_says_so_and_the_others_go_on() {
    let store = MemoryStore::new();
    let (good, bad, ugly) = (total("good"), total("bad"), Total { panics: true, ..total("ugly") });
    bad.fault.store(true, Ordering::SeqCst);
    let running = Runner::new(store.clone()).run(good).run(bad).run(ugly).start().unwrap();
    let receipt = deposit(&store).await;
    running.wait_for("good", &receipt).await.unwrap();
    let error = running.wait_for("bad", &receipt).await.unwrap_err();
    assert!(matches!(&error, Error::ProjectionFaulted { name, position: 1, .. } if name == "bad"), "{error}");
    let error = running.wait_for("ugly", &receipt).await.unwrap_err();
    assert!(matches!(&error, Error::ProjectionFaulted { name, .. } if name == "ugly"), "{error}");
    assert!(matches!(running.status("bad").unwrap().state, State::Faulted(_)));
    tokio::time::timeout(Duration::from_secs(5), running.shutdown()).await.expect("a faulted task stops too");
}

#[tokio::test]
async fn two_projections_of_one_name_are_refused() {
    let runner = Runner::new(MemoryStore::new()).run(total("total")).run(total("total"));
    let error = runner.start().unwrap_err();
    assert_eq!(error.to_string(), "invalid request: two projections are named `total`; rename one");
}

#[test]
fn on_a_runtime_without_timers_a_runner_does_not_start() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(async { Runner::new(MemoryStore::new()).start().unwrap_err() });
    assert_eq!(error.to_string(), "unavailable: a runner needs a tokio runtime with timers: enable_time()");
}

/// Loses every other race for its checkpoint.
#[derive(Debug)]
struct Contended(Total, AtomicBool);

impl Subscriber for Contended {
    fn name(&self) -> &str {
        self.0.name
    }

    fn checkpoint(&self, _partition: u32) -> BoxFuture<'_, Result<u64>> {
        self.0.checkpoint(0)
    }

    fn advance<'a>(&'a self, store: &'a dyn EventStore, partition: u32) -> BoxFuture<'a, Result<Progress>> {
        if self.1.fetch_xor(true, Ordering::SeqCst) {
            return Box::pin(async { Err(Error::CheckpointMoved { name: self.0.name.into(), expected: 0 }) });
        }
        self.0.advance(store, partition)
    }
}

#[tokio::test]
async fn a_projection_that_is_also_run_elsewhere_goes_on_from_where_the_other_is() {
    let store = MemoryStore::new();
    let running = Runner::new(store.clone()).run(Contended(total("total"), AtomicBool::new(true))).start().unwrap();
    for _ in 0..5 {
        running.wait_for("total", &deposit(&store).await).await.unwrap();
    }
}

#[test]
fn a_program_that_ends_while_a_runner_is_alive_ends_quietly() {
    let panics = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&panics);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.to_string().contains("on purpose") && !info.to_string().contains("timers") {
            seen.lock().unwrap().push(info.to_string());
        }
        before(info);
    }));
    for _ in 0..50 {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let store = MemoryStore::new();
            let running = Runner::new(store.clone()).run(total("total")).start().unwrap();
            running.wait_for("total", &deposit(&store).await).await.unwrap();
        });
    }
    assert_eq!(*panics.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn outside_a_runtime_a_runner_does_not_start() {
    let error = Runner::new(MemoryStore::new()).start().unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}
