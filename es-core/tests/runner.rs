//! Projections kept up to date by a runner.

mod domain;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::{Account, deposited};
use es_core::{
    Error, EventLog, Filter, Limits, ManualClock, MemoryStore, Progress, Rebuild, Rebuilding, Receipt, Repository,
    Result, Runner, Running, Subscriber, Timestamp, runner::State, store::BoxFuture,
};
use futures_util::StreamExt;
use tokio::sync::Semaphore;

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

    fn advance<'a>(&'a self, log: &'a dyn EventLog, partition: u32) -> BoxFuture<'a, Result<Progress>> {
        Box::pin(async move {
            let checkpoint = self.checkpoint(partition).await?;
            let page = log.read_all(checkpoint, 2, &Filter::all()).await?;
            if !page.events.is_empty() {
                assert!(!self.panics, "a hook that panics, on purpose");
                if self.fault.load(Ordering::SeqCst) {
                    let position = page.events[0].meta.position;
                    return Err(Error::ProjectionFaulted { name: self.name.into(), position, source: "no".into() });
                }
            }
            let caught_up = page.scanned_to >= log.head().await?;
            let mut sum = self.sum.lock().unwrap();
            *sum = (page.scanned_to, sum.1 + page.events.len());
            let last = page.events.last().map(|event| event.meta.recorded_at);
            Ok(Progress::at(page.scanned_to).caught_up(caught_up).handled(page.events.len() as u64, last))
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
    assert_eq!(error.to_string(), "nothing named `nobody` runs here, only: total");
}

#[tokio::test]
async fn a_wait_that_takes_too_long_names_the_projection_and_where_it_stands() {
    let running = Runner::new(MemoryStore::new()).run(total("total")).start().unwrap();
    let error = running.wait_for_position("total", 5, Duration::from_millis(20)).await.unwrap_err();
    let expected = "`total` is at position 0 after ";
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
    assert_eq!(error.to_string(), "invalid request: two projections or reactors are named `total`; rename one");
}

#[test]
fn on_a_runtime_without_timers_a_runner_does_not_start() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(async { Runner::new(MemoryStore::new()).start().unwrap_err() });
    assert_eq!(error.to_string(), "unavailable: a runner needs a tokio runtime with timers: enable_time()");
}

fn state(running: &Running, name: &str) -> String {
    format!("{:?}", running.status(name).unwrap().state).split(['(', ' ']).next().unwrap().to_owned()
}

#[tokio::test]
async fn a_paused_projection_handles_nothing_until_it_is_resumed() {
    let store = MemoryStore::new();
    let total = total("total");
    let running = Runner::new(store.clone()).run(total.clone()).start().unwrap();
    running.wait_for("total", &deposit(&store).await).await.unwrap();
    running.pause("total").await.unwrap();
    let mut last = deposit(&store).await;
    for _ in 0..5 {
        last = deposit(&store).await;
    }
    let error = running.wait_for_position("total", last.position, Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(error, Error::NotCaughtUp { checkpoint: 1, .. }), "{error}");
    let status = running.status("total").unwrap();
    assert!(matches!(status.state, State::Paused), "{status:?}");
    assert_eq!((status.checkpoint, status.head, status.lag_events, total.sum.lock().unwrap().1), (1, 7, 6, 1));
    running.resume("total").unwrap();
    running.wait_for("total", &last).await.unwrap();
    assert_eq!(total.sum.lock().unwrap().1, 7);
    assert!(running.pause("nobody").await.is_err() && running.resume("nobody").is_err());
}

#[tokio::test]
async fn how_far_a_projection_is_behind_is_right_also_after_it_has_stopped() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(0)));
    let store = MemoryStore::with(Limits::default(), clock.clone());
    let total = total("total");
    let running = Runner::new(store.clone()).run(total.clone()).start().unwrap();
    running.wait_for("total", &deposit(&store).await).await.unwrap();
    clock.advance(Duration::from_secs(60));
    let status = running.status("total").unwrap();
    assert_eq!((status.lag_events, status.lag), (0, Some(Duration::ZERO)), "nothing to do is no lag");
    assert!(status.rate > 0.0, "{status:?}");

    total.fault.store(true, Ordering::SeqCst);
    let receipt = deposit(&store).await;
    running.wait_for("total", &receipt).await.unwrap_err();
    deposit(&store).await;
    clock.advance(Duration::from_secs(5));
    let status = running.status("total").unwrap();
    assert_eq!((status.checkpoint, status.head, status.lag_events), (1, 3, 2));
    assert_eq!(status.lag, Some(Duration::from_secs(65)), "since the last event it has handled");

    total.fault.store(false, Ordering::SeqCst);
    running.resume("total").unwrap();
    running.wait_for("total", &receipt).await.unwrap();
    running.wait_for_position("total", 3, Duration::from_secs(10)).await.unwrap();
    assert_eq!(running.status("total").unwrap().lag_events, 0);
}

#[tokio::test]
async fn a_projection_that_was_stopped_before_its_first_page_tells_its_stored_checkpoint() {
    let store = MemoryStore::new();
    let total = total("total");
    let receipt = deposit(&store).await;
    let running = Runner::new(store.clone()).run(total.clone()).start().unwrap();
    running.wait_for("total", &receipt).await.unwrap();
    running.shutdown().await;
    total.fault.store(true, Ordering::SeqCst);
    let running = Runner::new(store.clone()).run(total).start().unwrap();
    running.wait_for("total", &deposit(&store).await).await.unwrap_err();
    assert_eq!(running.status("total").unwrap().checkpoint, 1);
}

#[tokio::test]
async fn waiting_for_all_names_the_one_that_is_behind() {
    let store = MemoryStore::new();
    let runner = Runner::new(store.clone()).wait_timeout(Duration::from_millis(50));
    let running = runner.run(total("a")).run(total("b")).run(total("c")).start().unwrap();
    running.wait_for_all(&deposit(&store).await).await.unwrap();
    running.pause("b").await.unwrap();
    let error = running.wait_for_all(&deposit(&store).await).await.unwrap_err();
    assert!(error.to_string().starts_with("`b` is at position 1 after "), "{error}");
    running.resume("b").unwrap();
    running.wait_for_all(&deposit(&store).await).await.unwrap();
}

#[tokio::test]
async fn changes_tell_of_each_state_until_the_runner_stops() {
    let store = MemoryStore::new();
    let running = Runner::new(store.clone()).run(total("total")).start().unwrap();
    let mut changes = running.changes("total").unwrap();
    let mut until = async |wanted: fn(&State) -> bool| loop {
        let status = changes.next().await.expect("it still runs");
        if wanted(&status.state) {
            return status.checkpoint;
        }
    };
    assert_eq!(until(|state| matches!(state, State::Live)).await, 0);
    deposit(&store).await;
    running.wait_for_position("total", 1, Duration::from_secs(10)).await.unwrap();
    assert_eq!(until(|state| matches!(state, State::Live)).await, 1);
    running.pause("total").await.unwrap();
    until(|state| matches!(state, State::Paused)).await;
    running.shutdown().await;
    assert!(changes.collect::<Vec<_>>().await.len() <= 1, "and then they end");
}

/// Is made again when a test lets it, in one step.
#[derive(Clone, Debug)]
struct Remade(Total, Arc<Semaphore>);

impl Subscriber for Remade {
    fn name(&self) -> &str {
        self.0.name
    }

    fn checkpoint(&self, partition: u32) -> BoxFuture<'_, Result<u64>> {
        self.0.checkpoint(partition)
    }

    fn advance<'a>(&'a self, log: &'a dyn EventLog, partition: u32) -> BoxFuture<'a, Result<Progress>> {
        self.0.advance(log, partition)
    }
}

impl Rebuild for Remade {
    fn rebuild<'a>(&'a self, report: &'a (dyn Fn(&Rebuilding) + Send + Sync)) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            report(&Rebuilding::new(1, 2, Duration::from_secs(1)));
            self.1.acquire().await.unwrap().forget();
            self.0.fault.store(false, Ordering::SeqCst);
            *self.0.sum.lock().unwrap() = (0, 0);
            Ok(0)
        })
    }
}

#[tokio::test]
async fn a_projection_that_is_made_again_says_so_and_goes_on_afterwards() {
    let store = MemoryStore::new();
    let remade = Remade(total("total"), Arc::new(Semaphore::new(0)));
    let running = Runner::new(store.clone()).run(remade.clone()).start().unwrap();
    running.wait_for("total", &deposit(&store).await).await.unwrap();
    let mut changes = running.changes("total").unwrap();
    let meanwhile = async {
        while !matches!(changes.next().await.unwrap().state, State::Rebuilding(progress) if progress.position == 1) {}
        running.wait_for("total", &deposit(&store).await).await.unwrap();
        assert_eq!(remade.0.sum.lock().unwrap().1, 2, "the present one goes on meanwhile");
        let error = running.rebuild(&remade).await.unwrap_err();
        assert!(matches!(&error, Error::RebuildUnderWay { name } if name == "total"), "{error}");
        let shown = running.status("total").unwrap().state;
        assert!(matches!(shown, State::Rebuilding(progress) if progress.position == 1), "{shown:?}");
        remade.1.add_permits(1);
    };
    let (made, ()) = futures_util::future::join(running.rebuild(&remade), meanwhile).await;
    made.unwrap();
    running.wait_for("total", &deposit(&store).await).await.unwrap();
    assert_eq!((remade.0.sum.lock().unwrap().1, state(&running, "total")), (3, "Live".into()));
    let unknown = Runner::new(store.clone()).start().unwrap();
    assert!(matches!(unknown.rebuild(&remade).await, Err(Error::UnknownProjection { .. })));
}

#[tokio::test]
async fn a_projection_that_has_stopped_goes_on_when_it_was_made_again() {
    let store = MemoryStore::new();
    let remade = Remade(total("total"), Arc::new(Semaphore::new(1)));
    remade.0.fault.store(true, Ordering::SeqCst);
    let running = Runner::new(store.clone()).run(remade.clone()).start().unwrap();
    let receipt = deposit(&store).await;
    running.wait_for("total", &receipt).await.unwrap_err();
    running.rebuild(&remade).await.unwrap();
    running.wait_for("total", &receipt).await.unwrap();
    assert_eq!(remade.0.sum.lock().unwrap().1, 1);
}

/// Stands by until a test says that the other has gone; at its checkpoint meanwhile.
#[derive(Debug)]
struct Second(Total, Total, Arc<AtomicBool>);

impl Subscriber for Second {
    fn name(&self) -> &str {
        self.1.name
    }

    fn checkpoint(&self, partition: u32) -> BoxFuture<'_, Result<u64>> {
        self.1.checkpoint(partition)
    }

    fn advance<'a>(&'a self, log: &'a dyn EventLog, partition: u32) -> BoxFuture<'a, Result<Progress>> {
        Box::pin(async move {
            if self.2.load(Ordering::SeqCst) {
                return self.1.advance(log, partition).await;
            }
            Ok(Progress::at(self.0.checkpoint(partition).await?).standby())
        })
    }
}

#[tokio::test]
async fn one_that_stands_by_can_be_waited_for() {
    let store = MemoryStore::new();
    let (first, second, gone) = (total("total"), total("total"), Arc::new(AtomicBool::default()));
    let running = Runner::new(store.clone()).run(first.clone()).start().unwrap();
    let waits = Runner::new(store.clone()).run(Second(first, second.clone(), gone.clone())).start().unwrap();
    for _ in 0..5 {
        waits.wait_for("total", &deposit(&store).await).await.unwrap();
        assert_eq!(state(&waits, "total"), "Standby");
    }
    running.shutdown().await;
    gone.store(true, Ordering::SeqCst);
    let receipt = deposit(&store).await;
    waits.wait_for("total", &receipt).await.unwrap();
    assert_eq!(second.sum.lock().unwrap().1, 6);
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

    fn advance<'a>(&'a self, log: &'a dyn EventLog, partition: u32) -> BoxFuture<'a, Result<Progress>> {
        if self.1.fetch_xor(true, Ordering::SeqCst) {
            return Box::pin(async { Err(Error::CheckpointMoved { name: self.0.name.into(), expected: 0 }) });
        }
        self.0.advance(log, partition)
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

/// Has nothing to do, and counts how often it looks; once more after this long.
#[derive(Debug)]
struct Looks(Arc<AtomicUsize>, Duration);

impl Subscriber for Looks {
    fn name(&self) -> &str {
        "looks"
    }

    fn checkpoint(&self, _partition: u32) -> BoxFuture<'_, Result<u64>> {
        Box::pin(async { Ok(0) })
    }

    fn advance<'a>(&'a self, store: &'a dyn EventLog, _partition: u32) -> BoxFuture<'a, Result<Progress>> {
        Box::pin(async move {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(Progress::at(store.head().await?).caught_up(true).again_after(self.1))
        })
    }
}

#[tokio::test]
async fn one_that_is_caught_up_may_look_again_without_an_event_and_is_woken_by_one_earlier() {
    let (store, looked) = (MemoryStore::new(), Arc::new(AtomicUsize::new(0)));
    let running = Runner::new(store.clone()).run(Looks(looked.clone(), Duration::from_millis(1))).start().unwrap();
    while looked.load(Ordering::SeqCst) < 5 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(matches!(running.status("looks").unwrap().state, State::Live));
    running.shutdown().await;

    let running = Runner::new(store.clone()).run(Looks(looked, Duration::from_secs(3_600))).start().unwrap();
    let receipt = deposit(&store).await;
    running.wait_for("looks", &receipt).await.unwrap();
    running.shutdown().await;
}
