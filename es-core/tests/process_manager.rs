//! A process manager with state of its own: an aggregate whose events record what it has seen and what it has sent.
//!
//! Whoever opens an account and pays something in gets a bonus, once. Either may be seen first.

mod bank;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bank::{
    AccountHooks, AccountRepository, AccountServiceClient, AccountServiceServer, Accounts, Changed, Opened, answer,
    command,
};
use es_core::{
    Aggregate, Commands, Error, EventLog, EventMeta, EventSet, HookResult, LocalBus, LocalTransport, MemoryStore,
    Reactor, Repository, Request, Response, Result, Root, Runner, StartFrom, Transport, event_applier,
    store::BoxFuture,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OpeningSeen {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct PaymentSeen {}

/// The bonus was asked for, because of the event at this position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct BonusAsked {
    because_of: u64,
}

#[derive(Clone, Debug, PartialEq, EventSet)]
#[events(package = "test.v1")]
enum WelcomeEvent {
    OpeningSeen(OpeningSeen),
    PaymentSeen(PaymentSeen),
    BonusAsked(BonusAsked),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Aggregate)]
#[aggregate(event = WelcomeEvent, type = "test.v1.Welcome", snapshot = serde)]
struct Welcome {
    opened: bool,
    paid: bool,
    asked_because_of: Option<u64>,
}

#[event_applier]
impl Welcome {
    fn opening_seen(&mut self, _: &OpeningSeen) {
        self.opened = true;
    }

    fn payment_seen(&mut self, _: &PaymentSeen) {
        self.paid = true;
    }

    fn bonus_asked(&mut self, event: &BonusAsked) {
        self.asked_because_of = Some(event.because_of);
    }
}

/// Notes what was seen, and says whether the bonus is to be asked for now: the same each time the event is handled.
fn decide(welcome: &mut Root<Welcome>, seen: Seen, position: u64) -> bool {
    match seen {
        Seen::Opening if !welcome.opened => welcome.emit(OpeningSeen {}),
        Seen::Payment if !welcome.paid => welcome.emit(PaymentSeen {}),
        Seen::Opening | Seen::Payment => {}
    }
    if welcome.opened && welcome.paid && welcome.asked_because_of.is_none() {
        welcome.emit(BonusAsked { because_of: position });
    }
    welcome.asked_because_of == Some(position)
}

#[derive(Clone, Copy)]
enum Seen {
    Opening,
    Payment,
}

/// Decides first, which is recorded, then sends what was decided.
async fn saw(seen: Seen, welcomes: Repository<Welcome>, commands: Commands, meta: EventMeta) -> HookResult {
    let account_id = meta.stream.id.as_str();
    let ask = welcomes.execute(account_id, |welcome| Ok(decide(welcome, seen, meta.position))).await?.into_inner();
    if ask {
        AccountServiceClient::new(commands).decide(command(account_id, BONUS)).await?;
    }
    Ok(())
}

async fn welcoming(store: &MemoryStore, transport: impl Transport) -> Reactor {
    let welcomes = Repository::new(store.clone());
    let same = welcomes.clone();
    Reactor::builder("welcoming", transport, StartFrom::Beginning)
        .on_opened(async move |commands, _, meta| saw(Seen::Opening, welcomes, commands, meta).await)
        .on_changed(async move |commands, _, meta| saw(Seen::Payment, same, commands, meta).await)
        .build(store)
        .await
        .unwrap()
}

const BONUS: i64 = 100;

/// Loses each answer to a bonus once, after the bonus was paid.
#[derive(Clone, Debug)]
struct Forgetful(LocalTransport, Arc<AtomicU32>);

impl Transport for Forgetful {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response>> {
        Box::pin(async move {
            let answer = self.0.call(request).await;
            match self.1.fetch_add(1, Ordering::SeqCst) {
                0 => Err(Error::Timeout { after: Duration::from_secs(1) }),
                _ => answer,
            }
        })
    }
}

/// Opens an account by nothing, and pays anything else in.
fn bank_on(store: &MemoryStore) -> (LocalTransport, AccountServiceClient) {
    let accounts = Accounts::deciding(|account, command, _| {
        Box::pin(async move {
            match command.cents {
                0 => account.emit(Opened { owner: command.account_id }),
                cents => account.emit(Changed { cents }),
            }
            Ok(answer(account))
        })
    });
    let bus = LocalBus::new().serve(AccountServiceServer::new(accounts, AccountRepository::new(store.clone())));
    (bus.transport(), AccountServiceClient::new(bus.transport()))
}

#[tokio::test]
async fn what_both_events_lead_to_is_asked_for_once_whatever_comes_first_and_fails() {
    for [first, second] in [[0, 7], [7, 0]] {
        let store = MemoryStore::new();
        let (transport, accounts) = bank_on(&store);
        accounts.decide(command("ada", first)).await.unwrap();
        accounts.decide(command("ada", second)).await.unwrap();
        let last = accounts.decide(command("ada", 1)).await.unwrap();
        let calls = Arc::default();
        let reactor = welcoming(&store, Forgetful(transport, Arc::clone(&calls))).await;
        let running = Runner::new(store.clone()).run(reactor).start().unwrap();
        running.wait_for("welcoming", last.receipt()).await.unwrap();
        // The bonus is a payment as well, which changes nothing.
        let head = store.head().await.unwrap();
        running.wait_for_position("welcoming", head, Duration::from_secs(10)).await.unwrap();
        running.shutdown().await;
        let ada = AccountRepository::new(store.clone()).load("ada").await.unwrap();
        assert_eq!((ada.cents, calls.load(Ordering::SeqCst)), (7 + 1 + BONUS, 2), "sent twice, paid once");
        let welcome = Repository::<Welcome>::new(store).load("ada").await.unwrap();
        assert_eq!((welcome.version(), welcome.asked_because_of), (3, Some(2)));
    }
}

#[tokio::test]
async fn an_account_that_was_only_opened_gets_nothing() {
    let store = MemoryStore::new();
    let (transport, accounts) = bank_on(&store);
    let opened = accounts.decide(command("ada", 0)).await.unwrap();
    let running = Runner::new(store.clone()).run(welcoming(&store, transport).await).start().unwrap();
    running.wait_for("welcoming", opened.receipt()).await.unwrap();
    running.shutdown().await;
    assert_eq!(AccountRepository::new(store).load("ada").await.unwrap().cents, 0);
}
