//! Scheduled commands in a file: what is left of them when a program ends, crashes, or shares the file with another.

#[path = "../../es-core/tests/bank/mod.rs"]
mod bank;
mod support;

use std::{
    path::Path,
    process::Command as Process,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bank::{AccountRepository, AccountServiceClient, AccountServiceServer, Accounts, command};
use es_core::{
    Deliveries, Error, EventLog, EventStore, LocalBus, LocalTransport, ManualClock, Request, Response, Result,
    Schedule, Timestamp, Transport, store::BoxFuture,
};
use es_sqlite::SqliteStore;
use support::{damage::by_hand, folder};

const HOUR: Duration = Duration::from_secs(60 * 60);
const LEASE: Duration = Duration::from_secs(10);
const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// A bank on a file, with a clock of its own.
struct Bank {
    clock: Arc<ManualClock>,
    store: SqliteStore,
    schedule: Schedule,
    client: AccountServiceClient,
    transport: LocalTransport,
}

impl Bank {
    async fn open(path: &Path) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let store = SqliteStore::builder(path).clock(Arc::clone(&clock)).open().await.unwrap();
        let bus = LocalBus::new();
        let server = AccountServiceServer::new(Accounts::changing(), AccountRepository::new(store.clone()));
        let transport = bus.serve(server).transport();
        let (schedule, client) = (Schedule::new(store.clone()), AccountServiceClient::new(transport.clone()));
        Self { clock, store, schedule, client, transport }
    }

    /// Deposits into an account in an hour; its name is the key.
    async fn deposit_in_an_hour(&self, account: &str, cents: i64) {
        let due = self.store.now().saturating_add(HOUR);
        self.schedule.at(account, due, self.client.decide(command(account, cents))).await.unwrap();
    }

    fn deliveries(&self) -> Deliveries {
        Deliveries::new(self.store.clone(), self.transport.clone())
    }

    async fn run_due(&self) -> u64 {
        self.deliveries().run_due().await.unwrap()
    }

    async fn balance(&self, account: &str) -> i64 {
        AccountRepository::new(self.store.clone()).load(account).await.unwrap().cents
    }
}

#[tokio::test]
async fn a_reopened_file_still_delivers_what_was_not_cancelled() {
    let (_folder, path) = folder();
    let before = Bank::open(&path).await;
    for (account, cents) in [("a", 1), ("b", 2), ("c", 3)] {
        before.deposit_in_an_hour(account, cents).await;
    }
    before.schedule.cancel("b").await.unwrap();
    before.clock.advance(HOUR / 2);
    before.deposit_in_an_hour("c", 30).await;
    before.store.shutdown().await.unwrap();

    let bank = Bank::open(&path).await;
    assert_eq!(bank.run_due().await, 0);
    assert_eq!(bank.store.next_due(START).await.unwrap(), Some(START.saturating_add(HOUR)));
    bank.clock.advance(HOUR);
    assert_eq!((bank.run_due().await, bank.balance("a").await), (1, 1));
    bank.clock.advance(HOUR / 2);
    assert_eq!((bank.run_due().await, bank.balance("b").await, bank.balance("c").await), (1, 0, 30));
    assert_eq!(bank.store.next_due(Timestamp::default()).await.unwrap(), None);
    bank.store.shutdown().await.unwrap();
    assert!(es_sqlite::verify(&path).await.unwrap().is_sound());
}

/// Aborts the process once a command is carried out, before anyone hears of it.
#[derive(Debug)]
struct AbortsAfter(LocalTransport);

impl Transport for AbortsAfter {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response>> {
        Box::pin(async move {
            self.0.call(request).await.unwrap();
            std::process::abort()
        })
    }
}

const FILE: &str = "ES_SQLITE_SCHEDULE_FILE";
const KILLED: &str = "killed_between_delivery_and_settling_a_command_is_sent_again_and_carried_out_once";

/// This test starts itself as another process.
#[test]
fn killed_between_delivery_and_settling_a_command_is_sent_again_and_carried_out_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Ok(file) = std::env::var(FILE) {
        return runtime.block_on(async {
            let bank = Bank::open(Path::new(&file)).await;
            bank.deposit_in_an_hour("a", 5).await;
            bank.clock.advance(HOUR);
            let delivered = Deliveries::new(bank.store.clone(), AbortsAfter(bank.transport.clone())).run_due().await;
            panic!("it was not aborted: {delivered:?}");
        });
    }
    let (_folder, path) = folder();
    let mut child = Process::new(std::env::current_exe().unwrap());
    let output = child.args([KILLED, "--exact", "--nocapture"]).env(FILE, &path).output().unwrap();
    assert!(!output.status.success());
    runtime.block_on(async {
        let bank = Bank::open(&path).await;
        bank.clock.advance(HOUR);
        assert_eq!(bank.balance("a").await, 5, "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(bank.run_due().await, 0, "it is leased");
        let scheduled = bank.schedule.get("a").await.unwrap().unwrap();
        let outcome = bank.store.outcome(None, scheduled.command_id()).await.unwrap();
        assert!(outcome.is_some(), "the id it was carried out under is the one it is sent again with");
        bank.clock.advance(LEASE);
        assert_eq!((bank.run_due().await, bank.balance("a").await), (1, 5));
        assert_eq!(bank.store.head().await.unwrap(), 1);
        assert_eq!(bank.schedule.get("a").await.unwrap(), None);
    });
}

/// Counts what it carries.
#[derive(Clone, Debug)]
struct Counting(LocalTransport, Arc<AtomicUsize>);

impl Transport for Counting {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.call(request)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_on_one_file_deliver_each_command_once() {
    let (_folder, path) = folder();
    let (one, two) = (Bank::open(&path).await, Bank::open(&path).await);
    for n in 0..40 {
        one.deposit_in_an_hour(&format!("a{n}"), 5).await;
    }
    let sent = Arc::new(AtomicUsize::new(0));
    let run = |bank: &Bank| {
        bank.clock.advance(HOUR);
        let deliveries = Deliveries::new(bank.store.clone(), Counting(bank.transport.clone(), Arc::clone(&sent)));
        tokio::spawn(async move { deliveries.run_due().await.unwrap() })
    };
    let (by_one, by_two) = (run(&one), run(&two));
    assert_eq!((by_one.await.unwrap() + by_two.await.unwrap(), sent.load(Ordering::SeqCst)), (40, 40));
    assert_eq!((two.store.head().await.unwrap(), one.balance("a0").await), (40, 5));
}

#[tokio::test]
async fn in_the_background_what_another_store_scheduled_is_delivered() {
    let (_folder, path) = folder();
    let (one, two) = (Bank::open(&path).await, Bank::open(&path).await);
    let mut head = one.store.watch();
    let delivering = one.deliveries().start().unwrap();
    two.deposit_in_an_hour("a", 5).await;
    one.clock.advance(HOUR);
    head.wait_for(|head| *head == 1).await.unwrap();
    delivering.shutdown().await;
    assert_eq!((two.balance("a").await, two.schedule.get("a").await.unwrap()), (5, None));
}

#[tokio::test]
async fn a_command_that_can_not_be_read_is_named_and_the_others_are_delivered() {
    let (_folder, path) = folder();
    for damage in ["request = x'00'", "command_id = 'c-9'", "due_at = 0", "checksum = checksum + 1", "tenant = 't 1'"] {
        let _ = std::fs::remove_file(&path);
        let bank = Bank::open(&path).await;
        for n in 0..20 {
            bank.deposit_in_an_hour(&format!("a{n:02}"), 5).await;
        }
        bank.store.shutdown().await.unwrap();
        by_hand(&path, &format!("UPDATE es_scheduled SET {damage} WHERE key = 'a00'"));
        let bank = Bank::open(&path).await;
        bank.clock.advance(HOUR);
        assert_eq!(bank.run_due().await, 19, "{damage}");
        let due = bank.store.due(bank.store.now(), 1).await.unwrap();
        let [Err(Error::Corrupt { what, why })] = &due[..] else { panic!("{damage}: {due:?}") };
        assert!(what.starts_with("the command scheduled under `a00`"), "{damage}: {what}");
        assert_eq!(why, "its checksum is wrong", "{damage}");
        if !damage.starts_with("tenant") {
            assert!(matches!(bank.schedule.get("a00").await, Err(Error::Corrupt { .. })), "{damage}");
            bank.schedule.cancel("a00").await.unwrap();
            assert_eq!(bank.store.due(bank.store.now(), 1).await.unwrap().len(), 0, "{damage}");
        }
        bank.store.shutdown().await.unwrap();
    }
}
