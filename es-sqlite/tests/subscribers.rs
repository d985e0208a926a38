//! Projections and reactors whose effects are elsewhere, with their checkpoints in a store's file.

mod support;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use es_core::{
    CheckpointStore, Error, EventLog, EventMeta, HookBuilder, ManualClock, Projection, Reactor, Request, Response,
    Result, Runner, StartFrom, Subscriber, Timestamp, Transport, store::BoxFuture,
};
use es_sqlite::{SqliteProjection, SqliteStore, Tx, verify};
use support::{MoneyDeposited, deposit, folder, open_account};

type Seen = Arc<Mutex<Vec<i64>>>;

const PATIENCE: Duration = Duration::from_secs(10);

async fn noting(seen: &Seen, partitions: u32, store: &SqliteStore) -> Projection {
    let noting = Projection::builder("noting").with(seen.clone()).partitions(partitions);
    let noting = noting.on::<MoneyDeposited, _>(async |seen, event, _| {
        seen.lock().unwrap().push(event.cents);
        Ok(())
    });
    noting.build(store).await.unwrap()
}

#[tokio::test]
async fn after_the_file_was_closed_a_projection_goes_on_from_its_checkpoint() {
    let ((_folder, path), seen) = (folder(), Seen::default());
    for (round, partitions) in [1, 3, 2].into_iter().enumerate() {
        let store = SqliteStore::open(&path).await.unwrap();
        let account = format!("acc-{round}");
        open_account(&store, &account).await;
        let running = Runner::new(store.clone()).run(noting(&seen, partitions, &store).await).start().unwrap();
        for cents in 1..=10 {
            let at = deposit(&store, &[(&account, cents)]).await.position;
            running.wait_for_position("noting", at, PATIENCE).await.unwrap();
        }
        running.shutdown().await;
        assert_eq!(store.checkpoints("noting").await.unwrap().len(), partitions as usize);
        store.shutdown().await.unwrap();
    }
    assert_eq!(*seen.lock().unwrap(), [(1..=10), (1..=10), (1..=10)].into_iter().flatten().collect::<Vec<_>>());
    assert!(verify(&path).await.unwrap().is_sound());
}

#[tokio::test]
async fn of_two_stores_on_one_file_one_handles_the_events_and_both_can_be_waited_for() {
    let ((_folder, path), seen) = (folder(), Seen::default());
    let (one, two) = (SqliteStore::open(&path).await.unwrap(), SqliteStore::open(&path).await.unwrap());
    open_account(&one, "a").await;
    let first = Runner::new(one.clone()).run(noting(&seen, 2, &one).await).start().unwrap();
    let at = deposit(&one, &[("a", 1)]).await.position;
    first.wait_for_position("noting", at, PATIENCE).await.unwrap();
    let second = Runner::new(two.clone()).run(noting(&seen, 2, &two).await).start().unwrap();
    for cents in 2..10 {
        let store = if cents % 2 == 0 { &one } else { &two };
        let at = deposit(store, &[("a", cents)]).await.position;
        first.wait_for_position("noting", at, PATIENCE).await.unwrap();
        second.wait_for_position("noting", at, PATIENCE).await.unwrap();
    }
    first.shutdown().await;
    let at = deposit(&two, &[("a", 10)]).await.position;
    second.wait_for_position("noting", at, PATIENCE).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), (1..=10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_process_that_died_is_followed_when_its_lease_is_over() {
    let ((_folder, path), seen) = (folder(), Seen::default());
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_000_000)));
    let open = async || SqliteStore::builder(&path).clock(clock.clone()).open().await.unwrap();
    let (one, two) = (open().await, open().await);
    open_account(&one, "a").await;
    deposit(&one, &[("a", 1)]).await;
    let dies = noting(&seen, 1, &one).await;
    assert!(dies.advance(&one, 0).await.unwrap().caught_up);
    deposit(&one, &[("a", 2)]).await;

    let next = noting(&seen, 1, &two).await;
    let theirs = next.advance(&two, 0).await.unwrap();
    assert!(theirs.standby && theirs.checkpoint == 2, "{theirs:?}");
    clock.advance(PATIENCE);
    assert_eq!(next.advance(&two, 0).await.unwrap().handled, 1);
    assert!(dies.advance(&one, 0).await.unwrap().standby, "should it come back");
    assert_eq!(*seen.lock().unwrap(), [1, 2]);
}

#[tokio::test]
async fn one_name_is_not_that_of_a_read_model_in_the_file_and_of_something_else() {
    let ((_folder, path), seen) = (folder(), Seen::default());
    let store = SqliteStore::open(&path).await.unwrap();
    let read_model = |name| {
        let hook = |_: &Tx<'_>, _: &MoneyDeposited, _: &EventMeta| Ok(());
        SqliteProjection::builder(name).on::<MoneyDeposited, _>(hook).build(&store)
    };
    let elsewhere = async |name| {
        let hooked = Projection::builder(name).with(seen.clone()).on::<MoneyDeposited, _>(async |_, _, _| Ok(()));
        hooked.build(&store).await
    };
    read_model("table").unwrap();
    let error = elsewhere("table").await.unwrap_err();
    assert!(error.to_string().contains("`table` is the name of a read model in this file"), "{error}");
    elsewhere("index").await.unwrap();
    let error = read_model("index").unwrap_err();
    assert!(error.to_string().contains("`index` is the name of a reactor or another projection here"), "{error}");
}

/// Notes the ids of commands, and loses answers when a test says so.
#[derive(Clone, Debug, Default)]
struct Elsewhere {
    ids: Arc<Mutex<Vec<String>>>,
    lost: Arc<AtomicBool>,
}

impl Transport for Elsewhere {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response>> {
        self.ids.lock().unwrap().push(request.command_id.unwrap().to_string());
        let answer = match self.lost.load(Ordering::SeqCst) {
            true => Err(Error::Timeout { after: PATIENCE }),
            false => Ok(Response::new("", [], None)),
        };
        Box::pin(async { answer })
    }
}

#[tokio::test]
async fn a_reactor_sends_the_same_ids_again_after_the_file_was_opened_again() {
    let ((_folder, path), elsewhere) = (folder(), Elsewhere::default());
    let reacting = async |store: &SqliteStore| {
        let reactor = Reactor::builder("payments", elsewhere.clone(), StartFrom::Beginning);
        let reactor = reactor.on::<MoneyDeposited, _>(async |commands, event, _| {
            commands.call(Request::new("payments.v1.PaymentCommandService", "Pay", event.cents.to_be_bytes())).await?;
            Ok(())
        });
        reactor.build(store).await.unwrap()
    };
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    for cents in [1, 2] {
        deposit(&store, &[("a", cents)]).await;
    }
    elsewhere.lost.store(true, Ordering::SeqCst);
    let reactor = reacting(&store).await;
    let error = reactor.advance(&store, 0).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(store.checkpoints("payments").await.unwrap()[0].sending.is_some());
    reactor.give_back().await;
    store.shutdown().await.unwrap();

    elsewhere.lost.store(false, Ordering::SeqCst);
    let store = SqliteStore::open(&path).await.unwrap();
    let running = Runner::new(store.clone()).run(reacting(&store).await).start().unwrap();
    running.wait_for_position("payments", store.head().await.unwrap(), PATIENCE).await.unwrap();
    let ids = elsewhere.ids.lock().unwrap().clone();
    assert_eq!((ids.len(), ids[0] == ids[1], BTreeSet::from_iter(&ids).len()), (3, true, 2), "{ids:?}");
    assert_eq!(store.checkpoints("payments").await.unwrap()[0].sending, None);
}
