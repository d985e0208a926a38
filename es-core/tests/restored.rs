//! What follows the log of a store that was restored: from where it goes on, and when it does not.

mod domain;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{Account, Deposited, deposited};
use es_core::{
    CheckpointStore, Commit, Epoch, Error, EventLog, EventStore, Expected, Filter, HookBuilder, LocalBus, MemoryStore,
    NewEvent, Page, Projection, Reactor, Repository, Result, Runner, StartFrom, StoreIdentity, Subscriber, Timestamp,
    store::BoxFuture,
};
use tokio::sync::{Notify, watch};

type Seen = Arc<Mutex<Vec<i64>>>;

/// The log of a store that a test restores. Checkpoints are kept elsewhere, and stay as they are.
#[derive(Clone, Debug)]
struct Log(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    store: MemoryStore,
    identity: StoreIdentity,
    epochs: Vec<Epoch>,
}

impl Log {
    /// With deposits of these cents.
    async fn of(cents: &[i64]) -> Self {
        let store = MemoryStore::new();
        deposit(&store, cents).await;
        let identity = store.identity();
        Self(Arc::new(Mutex::new(State { store, identity, epochs: Vec::new() })))
    }

    /// Restores the store to a position; what it had after that is replaced by these deposits.
    async fn restore(&self, began_after: usize, number: u64, then: &[i64]) {
        let (former, store) = (self.store(), MemoryStore::new());
        for event in former.read_all(0, began_after, &Filter::all()).await.unwrap().events {
            let mut again = NewEvent::raw(event.meta.event_type.to_string(), &*event.payload);
            again.encoding = event.meta.encoding;
            store.append(Commit::append((*event.meta.stream).clone(), Expected::Any, vec![again])).await.unwrap();
        }
        deposit(&store, then).await;
        let mut state = self.0.lock().unwrap();
        state.store = store;
        state.identity.epoch = number;
        state.epochs.push(Epoch { number, began_after: began_after as u64 });
    }

    fn store(&self) -> MemoryStore {
        self.0.lock().unwrap().store.clone()
    }
}

async fn deposit(store: &MemoryStore, cents: &[i64]) {
    let accounts = Repository::<Account>::new(store.clone());
    for cents in cents {
        let deposit = |account: &mut es_core::Root<Account>| {
            account.emit(deposited(*cents));
            Ok(())
        };
        accounts.execute("a", deposit).await.unwrap();
    }
}

impl EventLog for Log {
    fn read_all<'a>(&'a self, after: u64, limit: usize, filter: &'a Filter) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move { self.store().read_all(after, limit, filter).await })
    }

    fn head(&self) -> BoxFuture<'_, Result<u64>> {
        Box::pin(async move { self.store().head().await })
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.store().watch()
    }

    fn identity(&self) -> StoreIdentity {
        self.0.lock().unwrap().identity
    }

    fn epochs(&self) -> Vec<Epoch> {
        self.0.lock().unwrap().epochs.clone()
    }

    fn now(&self) -> Timestamp {
        self.store().now()
    }
}

async fn noting(log: &Log, checkpoints: &MemoryStore, seen: &Seen) -> Projection {
    let noting = Projection::builder("noting").with(seen.clone()).on::<Deposited, _>(async |seen, event, _| {
        seen.lock().unwrap().push(event.cents);
        Ok(())
    });
    noting.build_over(log, checkpoints.clone()).await.unwrap()
}

/// Where the checkpoint is, and of which epoch.
async fn at(checkpoints: &MemoryStore, name: &str) -> (u64, u64) {
    let stored = checkpoints.checkpoints(name).await.unwrap()[0].clone();
    (stored.position, stored.store.epoch)
}

#[tokio::test]
async fn who_has_seen_only_what_is_still_there_goes_on_in_the_new_epoch() {
    let (log, checkpoints, seen) = (Log::of(&[1, 2]).await, MemoryStore::new(), Seen::default());
    let projection = noting(&log, &checkpoints, &seen).await;
    projection.advance(&log, 0).await.unwrap();
    deposit(&log.store(), &[3]).await;
    log.restore(2, 10, &[]).await;
    assert!(projection.advance(&log, 0).await.unwrap().caught_up, "it stands where the new epoch began");
    assert_eq!(at(&checkpoints, "noting").await, (2, 0));
    deposit(&log.store(), &[4]).await;
    projection.advance(&log, 0).await.unwrap();
    assert_eq!(at(&checkpoints, "noting").await, (3, 10));
    assert_eq!(*seen.lock().unwrap(), [1, 2, 4]);
}

#[tokio::test]
async fn who_has_seen_what_is_gone_stops_and_says_so() {
    let (log, checkpoints, seen) = (Log::of(&[1, 2, 3]).await, MemoryStore::new(), Seen::default());
    let before = noting(&log, &checkpoints, &seen).await;
    before.advance(&log, 0).await.unwrap();
    before.give_back().await;
    log.restore(2, 10, &[4, 5, 6]).await;
    // Also when it is built anew.
    let projection = noting(&log, &checkpoints, &seen).await;
    let error = projection.advance(&log, 0).await.unwrap_err();
    assert!(matches!(error, Error::StoreRestored { checkpoint: 3, restored_to: 2, .. }), "{error}");
    let words = "`noting` has seen position 3, and the store was since restored to its state at position 2";
    assert!(error.to_string().starts_with(words), "{error}");
    let running = Runner::new(log.clone()).run(projection.clone()).start().unwrap();
    let error = running.wait_for_position("noting", 5, Duration::from_secs(10)).await.unwrap_err();
    assert!(matches!(error, Error::ProjectionFaulted { .. } | Error::StoreRestored { .. }), "{error}");
    assert_eq!((at(&checkpoints, "noting").await, &**seen.lock().unwrap()), ((3, 0), &[1, 2, 3][..]));

    projection.go_on_from_restore(&log).await.unwrap();
    assert_eq!(at(&checkpoints, "noting").await, (2, 10));
    running.resume("noting").unwrap();
    running.wait_for_position("noting", 5, Duration::from_secs(10)).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [1, 2, 3, 4, 5, 6]);
    running.shutdown().await;
}

#[tokio::test]
async fn a_reactor_goes_on_from_the_restore_when_it_is_told_to() {
    let (log, checkpoints, seen) = (Log::of(&[1, 2, 3]).await, MemoryStore::new(), Seen::default());
    let reactor = Reactor::builder("payments", LocalBus::new().transport(), StartFrom::Beginning);
    let noted = seen.clone();
    let reactor = reactor.on::<Deposited, _>(async move |_, event, _| {
        noted.lock().unwrap().push(event.cents);
        Ok(())
    });
    let reactor = reactor.build_over(&log, checkpoints.clone()).await.unwrap();
    reactor.advance(&log, 0).await.unwrap();
    log.restore(1, 10, &[4]).await;
    log.restore(2, 20, &[5]).await;
    let error = reactor.advance(&log, 0).await.unwrap_err();
    assert!(matches!(error, Error::StoreRestored { checkpoint: 3, restored_to: 1, .. }), "{error}");
    reactor.go_on_from_restore(&log).await.unwrap();
    reactor.go_on_from_restore(&log).await.unwrap();
    assert_eq!(at(&checkpoints, "payments").await, (1, 20));
    reactor.advance(&log, 0).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_checkpoint_of_another_restore_or_a_newer_copy_is_refused() {
    let (log, checkpoints, seen) = (Log::of(&[1, 2]).await, MemoryStore::new(), Seen::default());
    log.restore(2, 10, &[3]).await;
    let projection = noting(&log, &checkpoints, &seen).await;
    projection.advance(&log, 0).await.unwrap();
    // The same backup, restored another time: the log knows nothing of epoch 10.
    let other = Log::of(&[1, 2]).await;
    other.0.lock().unwrap().identity = log.identity();
    other.restore(2, 20, &[4, 5]).await;
    let error = projection.advance(&other, 0).await.unwrap_err();
    assert!(matches!(error, Error::EpochUnknown { epoch: 10, present: 20, .. }), "{error}");
    // The file as it was before it was restored.
    let older = Log::of(&[1, 2, 9]).await;
    older.0.lock().unwrap().identity = StoreIdentity { epoch: 0, ..log.identity() };
    let error = projection.advance(&older, 0).await.unwrap_err();
    assert!(matches!(error, Error::EpochUnknown { epoch: 10, present: 0, .. }), "{error}");
    let error = projection.go_on_from_restore(&older).await.unwrap_err();
    assert!(matches!(error, Error::EpochUnknown { .. }), "{error}");
    assert_eq!(at(&checkpoints, "noting").await, (3, 10), "nobody can tell where it would have to go on");
}

#[tokio::test]
async fn who_has_seen_nothing_yet_follows_any_copy_of_its_store() {
    let (log, checkpoints, seen) = (Log::of(&[]).await, MemoryStore::new(), Seen::default());
    log.restore(0, 10, &[]).await;
    let projection = noting(&log, &checkpoints, &seen).await;
    let older = Log::of(&[1]).await;
    older.0.lock().unwrap().identity = StoreIdentity { epoch: 0, ..log.identity() };
    projection.advance(&older, 0).await.unwrap();
    assert_eq!((at(&checkpoints, "noting").await, &**seen.lock().unwrap()), ((1, 0), &[1][..]));
}

/// The lease is renewed meanwhile, which reads the stored checkpoint anew.
#[tokio::test]
async fn an_event_that_takes_long_is_noted_in_the_epoch_it_was_read_in() {
    let (log, checkpoints, gone_on) = (Log::of(&[1, 2]).await, MemoryStore::new(), Arc::new(Notify::new()));
    let build = async |log: &Log| {
        let slow = Projection::builder("slow").with(gone_on.clone()).lease(Duration::from_millis(30));
        let slow = slow.on::<Deposited, _>(async |gone_on, event, _| {
            if event.cents > 2 {
                gone_on.notified().await;
            }
            Ok(())
        });
        slow.build_over(log, checkpoints.clone()).await.unwrap()
    };
    let projection = build(&log).await;
    projection.advance(&log, 0).await.unwrap();
    log.restore(2, 10, &[3]).await;
    let leased_until = async || checkpoints.checkpoints("slow").await.unwrap()[0].leased_until;
    let renewed_twice = async {
        for _ in 0..2 {
            let before = leased_until().await;
            while leased_until().await == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        gone_on.notify_one();
    };
    let (advanced, ()) = tokio::join!(projection.advance(&log, 0), renewed_twice);
    advanced.unwrap();
    assert_eq!(at(&checkpoints, "slow").await, (3, 10));
}
