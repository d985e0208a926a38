//! A bank whose parts are connected by NATS only, under load; and what has to be true of it in the end.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bank::bank::v1::{
    AccountCommandServiceClient, AccountCommandServiceServer, AccountHooks, AccountRepository, MoneyDeposited,
};
use es_core::{Error, Event, EventLog, RecordedEvent, Retry, Runner, Running};
use es_nats::{Nats, NatsServer, NatsTransport, Relay, RelayBuilder, Serving, Subscription};
use es_sqlite::{SqliteProjection, SqliteProjectionBuilder, SqliteStore};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::support::{STREAM, Teller, assert_equal, deposit, log, until, within};

const PATIENCE: Duration = Duration::from_secs(90);

/// Where each part connects.
pub(crate) struct Wiring {
    pub(crate) clients: String,
    pub(crate) server: String,
    pub(crate) relay: String,
    pub(crate) subscriber: String,
}

pub(crate) struct Whole {
    folder: TempDir,
    store: SqliteStore,
    serving: Serving,
    relaying: Running,
    projecting: Running,
    balances: SqliteProjection,
    clients: Vec<JoinHandle<Vec<Acknowledged>>>,
    enough: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
}

/// A command's id, and the position of its event.
pub(crate) type Acknowledged = (String, u64);

impl Whole {
    /// How many send commands, one after the other.
    pub(crate) const CLIENTS: u64 = 4;

    /// Connects everything and begins the load.
    pub(crate) async fn start(wiring: &Wiring, relay: impl FnOnce(RelayBuilder) -> RelayBuilder) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("bank.db")).await.unwrap();
        let relay = relay(Relay::builder(&connect(&wiring.relay).await).stream(STREAM)).build(&store).await.unwrap();
        let relaying = Runner::new(store.clone()).run(relay).start().unwrap();
        let accounts = AccountCommandServiceServer::new(Teller::default(), AccountRepository::new(store.clone()));
        let serving = NatsServer::new(&connect(&wiring.server).await, &store).serve(accounts).start().await.unwrap();

        let subscription = subscribe(&connect(&wiring.subscriber).await).await;
        let balances = balances().build_over(folder.path().join("read.db"), subscription.clone()).unwrap();
        let projecting = Runner::new(subscription).run(balances.clone()).start().unwrap();

        let (enough, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = Vec::new();
        for client in 0..Self::CLIENTS {
            let transport = NatsTransport::new(&connect(&wiring.clients).await)
                .attempt_timeout(Duration::from_millis(300))
                .timeout(Duration::from_secs(3));
            let load = load(client, AccountCommandServiceClient::new(transport), enough.clone(), done.clone());
            clients.push(tokio::spawn(load));
        }
        Self { folder, store, serving, relaying, projecting, balances, clients, enough, done }
    }

    /// How many commands were acknowledged.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    /// Waits until so many more commands are acknowledged.
    pub(crate) async fn works(&self, commands: u64) {
        let before = self.done();
        until("commands are acknowledged", async || self.done() >= before + commands).await;
    }

    /// Ends the load, and compares: what was acknowledged, the store, the stream, the read model. There are no faults any
    /// more.
    pub(crate) async fn check(self, jetstream: &async_nats::jetstream::Context) {
        self.works(50).await;
        self.enough.store(true, Ordering::SeqCst);
        let mut acknowledged = Vec::new();
        for client in self.clients {
            acknowledged.extend(within("a client", client).await.unwrap());
        }
        let events = log(&self.store).await;
        assert_stored(&events, acknowledged);

        let head = self.store.head().await.unwrap();
        let relayed = self.relaying.wait_for_position(&format!("relay:{STREAM}"), head, PATIENCE).await;
        relayed.unwrap_or_else(|error| panic!("{error}: {:?}", self.relaying.statuses()));
        assert_equal(&jetstream.get_stream(STREAM).await.unwrap(), &self.store).await;

        let read = self.projecting.wait_for_position("balances", head, PATIENCE).await;
        read.unwrap_or_else(|error| panic!("{error}: {:?}", self.projecting.statuses()));
        assert_read(&self.balances, &events).await;

        self.projecting.shutdown().await;
        self.relaying.shutdown().await;
        within("the shutdown", self.serving.shutdown()).await;
        drop(self.folder);
    }
}

/// What each account has, and of how many events.
pub(crate) fn balances() -> SqliteProjectionBuilder {
    SqliteProjection::builder("balances")
        .migration(
            "CREATE TABLE balance (account TEXT PRIMARY KEY, cents INTEGER NOT NULL, events INTEGER NOT NULL) STRICT",
        )
        .on_money_deposited(|tx, event, _meta| {
            tx.run(
                "INSERT INTO balance VALUES (?1, ?2, 1)
                 ON CONFLICT DO UPDATE SET cents = cents + excluded.cents, events = events + 1",
                (&event.account_id, event.cents),
            )
        })
}

/// Every acknowledged command is in the store, once, and nothing else.
pub(crate) fn assert_stored(events: &[RecordedEvent], mut acknowledged: Vec<Acknowledged>) {
    acknowledged.sort_by_key(|(_, position)| *position);
    let stored = events.iter().map(|event| {
        let command = event.meta.origin().unwrap().command_id.clone().unwrap();
        (command.to_string(), event.meta.position)
    });
    let stored: Vec<Acknowledged> = stored.collect();
    assert_eq!(stored, acknowledged, "every acknowledged command is in the store, once, and nothing else");
}

/// The read model is what the events come to.
pub(crate) async fn assert_read(balances: &SqliteProjection, events: &[RecordedEvent]) {
    let mut fold: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for event in events {
        let MoneyDeposited { account_id, cents } = MoneyDeposited::decode(&event.payload).unwrap();
        let balance = fold.entry(account_id).or_default();
        *balance = (balance.0 + cents, balance.1 + 1);
    }
    let read = balances.query(|tx| {
        tx.query("SELECT account, cents, events FROM balance", [], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))
    });
    let read: BTreeMap<String, (i64, i64)> = read.await.unwrap().into_iter().collect();
    assert_eq!(read, fold, "the read model is what the store says");
}

/// Opens a subscription, once a relay has made its stream.
pub(crate) async fn subscribe(nats: &Nats) -> Subscription {
    let mut opened = None;
    until("the relay has made the stream", async || {
        opened = Subscription::open(nats, STREAM).await.ok();
        opened.is_some()
    })
    .await;
    opened.unwrap()
}

async fn connect(url: &str) -> Nats {
    Nats::connect(url).await.unwrap()
}

/// Sends deposits, each until it is acknowledged.
pub(crate) async fn load(
    client: u64,
    accounts: AccountCommandServiceClient,
    enough: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
) -> Vec<Acknowledged> {
    let mut acknowledged = Vec::new();
    while !enough.load(Ordering::SeqCst) {
        let number = acknowledged.len() as u64;
        let id = format!("c-{client}-{number}");
        // A command is the same each time it is sent.
        let (account, cents) = (format!("acc.{}", (client + number) % 3), 100 + (number % 50) as i64);
        loop {
            match accounts.deposit(deposit(&account, cents)).command_id(&*id).await {
                Ok(reply) => break acknowledged.push((id, reply.receipt().position)),
                Err(Error::Rejected(refusal)) if refusal.retry() == Retry::Never => panic!("refused: {refusal}"),
                Err(error) => assert_ne!(error.retry(), Retry::Never, "{error}"),
            }
        }
        done.fetch_add(1, Ordering::SeqCst);
    }
    acknowledged
}
