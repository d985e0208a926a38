//! What a program holds in memory while the server stands still, is gone, and comes back.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use es_core::{AggregateId, Commit, EventStore, Expected, MemoryStore, NewEvent, Request, StreamKey, Transport};
use es_nats::{Nats, NatsServer, NatsTransport, Serving};
use es_sqlite::SqliteStore;
use prost::Message;
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    support::{
        Rig, SERVICE, Teller, connect, deposit, is_long,
        memory::Memory,
        process::{Child, alone, argument, role, until_orphaned},
        until, within,
    },
    test_name,
};

/// For how long the server stands still, and for how long it is gone.
fn outage() -> Duration {
    Duration::from_secs(if is_long() { 60 } else { 2 })
}

/// 8 MiB in 1,024 messages are under way at most, twice because some are being read and encoded; the rest are pages of the
/// store and what the allocator keeps.
const RELAY: u64 = 32;

#[test]
fn a_relay_whose_server_stands_still_or_is_gone_holds_no_more_than_what_is_under_way() {
    alone(test_name!(a_relay_whose_server_stands_still_or_is_gone_holds_no_more_than_what_is_under_way), async || {
        let mut rig = Rig::new().await;
        let running = rig.start().await;
        // The store's caches are as full as they get.
        record(&rig.store, 96, Duration::ZERO).await;
        rig.relayed(&running).await;

        let memory = Memory::watch();
        rig.server.stop_signal();
        record(&rig.store, 64, outage()).await;
        memory.stayed_within(RELAY, "a relay, the server stands still");
        rig.server.kill();
        record(&rig.store, 64, outage()).await;
        memory.stayed_within(RELAY, "a relay, the server is gone");
        assert!(running.status(crate::support::NAME).unwrap().lag_events > 4_000);
        rig.server.restart().await.unwrap();
        rig.relayed(&running).await;
        memory.stayed_within(RELAY, "a relay, everything is caught up with");
        running.shutdown().await;
    });
}

/// Records so many MiB of events, and then a few more until the time is over.
async fn record(store: &SqliteStore, mebibytes: usize, time: Duration) {
    let begun = Instant::now();
    let event = || NewEvent::raw("bank.v1.MoneyDeposited", vec![7; 32 << 10]);
    let stream = StreamKey::new(None, "bank.v1.Account", AggregateId::new("acc.1").unwrap());
    let append = async |events: usize| {
        let commit = Commit::append(stream.clone(), Expected::Any, (0..events).map(|_| event()).collect());
        store.append(commit).await.unwrap();
    };
    for _ in 0..mebibytes {
        append(32).await;
    }
    while begun.elapsed() < time {
        append(1).await;
        sleep(Duration::from_millis(10)).await;
    }
}

const CALLERS: usize = 1_000;
const BODY: usize = 16 << 10;
const URL: &str = "ES_NATS_URL";

/// Calls, or serves calls, until its parent is gone.
#[test]
fn another_process() {
    let Some(role) = role() else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let nats = Nats::connect(argument(URL)).await.unwrap();
        match &*role {
            "calls" => {
                let calls = Calls::start(&nats);
                until_orphaned().await;
                drop(calls);
            }
            _ => {
                let serving = serve_all(&nats, &Teller::default()).await;
                until_orphaned().await;
                drop(serving);
            }
        }
    });
}

async fn serve_all(nats: &Nats, teller: &Teller) -> Serving {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    NatsServer::new(nats, &store).serve(teller.server(store.clone())).start().await.unwrap()
}

/// 2,048 messages wait for the connection at most, and the attempts of one call share its bytes. The client below also
/// keeps some 300 bytes for each attempt that is never answered: those of half a minute, then the connection is left.
const CALLING: u64 = 48;

#[test]
fn callers_without_a_server_hold_no_more_than_their_calls() {
    alone(test_name!(callers_without_a_server_hold_no_more_than_their_calls), async || {
        let mut server = test_servers::NatsServer::start().await.unwrap();
        let _serving = Child::start(test_name!(another_process), "serves", &[(URL, &server.url())]);
        let calls = Calls::start(&connect(&server).await);
        calls.answered(5_000).await;
        let memory = Memory::watch();
        for fault in [Fault::StandsStill, Fault::Gone] {
            let before = calls.failed();
            fault.begin(&mut server);
            sleep(outage()).await;
            until("as many failures as there are callers", async || calls.failed() >= before + CALLERS as u64).await;
            memory.stayed_within(CALLING, &format!("callers, the server {fault}"));
            fault.end(&mut server).await;
            calls.answered(5_000).await;
            memory.stayed_within(CALLING, &format!("callers, after the server {fault}"));
        }
        calls.stop().await;
    });
}

/// What the callers have sent and given up in the meantime comes in one burst: three attempts of 16 KiB of each of the
/// 1,000 callers, some of them twice in memory.
const SERVING: u64 = 96;

#[test]
fn a_server_of_commands_without_nats_holds_no_more_than_what_it_is_asked() {
    alone(test_name!(a_server_of_commands_without_nats_holds_no_more_than_what_it_is_asked), async || {
        let mut server = test_servers::NatsServer::start().await.unwrap();
        let teller = Teller::default();
        let serving = serve_all(&connect(&server).await, &teller).await;
        let _calling = Child::start(test_name!(another_process), "calls", &[(URL, &server.url())]);
        let worked = async |commands: usize| {
            let before = teller.asked();
            until("work", async || teller.asked() >= before + commands).await;
        };
        worked(5_000).await;
        let memory = Memory::watch();
        for fault in [Fault::StandsStill, Fault::Gone] {
            fault.begin(&mut server);
            sleep(outage()).await;
            memory.stayed_within(SERVING, &format!("a server of commands, NATS {fault}"));
            fault.end(&mut server).await;
            worked(5_000).await;
            memory.stayed_within(SERVING, &format!("a server of commands, after NATS {fault}"));
        }
        within("the shutdown", serving.shutdown()).await;
    });
}

#[derive(Clone, Copy)]
enum Fault {
    StandsStill,
    Gone,
}

impl Fault {
    fn begin(self, server: &mut test_servers::NatsServer) {
        match self {
            Self::StandsStill => server.stop_signal(),
            Self::Gone => server.kill(),
        }
    }

    async fn end(self, server: &mut test_servers::NatsServer) {
        match self {
            Self::StandsStill => server.cont_signal(),
            Self::Gone => server.restart().await.unwrap(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StandsStill => "stands still",
            Self::Gone => "is gone",
        })
    }
}

/// Many who call over one connection, without end.
struct Calls {
    answered: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    enough: Arc<AtomicBool>,
    callers: Vec<JoinHandle<()>>,
}

impl Calls {
    fn start(nats: &Nats) -> Self {
        let transport =
            NatsTransport::new(nats).attempt_timeout(Duration::from_secs(1)).timeout(Duration::from_millis(1_500));
        let (answered, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let enough = Arc::new(AtomicBool::new(false));
        let callers = (0..CALLERS).map(|caller| {
            let (transport, answered, failed) = (transport.clone(), answered.clone(), failed.clone());
            let enough = enough.clone();
            tokio::spawn(async move {
                while !enough.load(Ordering::Relaxed) {
                    match transport.call(request(caller)).await {
                        Ok(_) => answered.fetch_add(1, Ordering::Relaxed),
                        Err(_) => {
                            // Who is turned away at once does not ask again at once.
                            sleep(Duration::from_millis(10)).await;
                            failed.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            })
        });
        let callers = callers.collect();
        Self { answered, failed, enough, callers }
    }

    fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Waits until so many more calls are answered.
    async fn answered(&self, calls: u64) {
        let before = self.answered.load(Ordering::Relaxed);
        until("answers", async || self.answered.load(Ordering::Relaxed) >= before + calls).await;
    }

    async fn stop(self) {
        self.enough.store(true, Ordering::Relaxed);
        for caller in self.callers {
            within("a caller", caller).await.unwrap();
        }
    }
}

/// A small deposit in a large message: what is large about it is a field that nobody knows.
fn request(caller: usize) -> Request {
    let mut body = deposit(&format!("a-{caller}"), 1).encode_to_vec();
    prost::encoding::bytes::encode(15, &vec![7_u8; BODY], &mut body);
    Request::new(SERVICE, "Deposit", body)
}
