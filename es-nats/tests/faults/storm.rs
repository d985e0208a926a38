//! Many clients of a server that is restarted again and again.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bank::bank::v1::AccountCommandServiceClient;
use es_core::EventStore;
use es_nats::{Nats, NatsTransport};
use es_sqlite::SqliteStore;
use futures_util::future::join_all;
use test_servers::{NatsServer, Proxy};
use tokio::time::sleep;

use crate::{
    support::{Teller, is_long, log, serve, until, within},
    whole::{assert_stored, load},
};

const CLIENTS: u64 = 100;
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_clients_come_back_to_a_restarted_server_one_after_the_other_and_lose_nothing() {
    let mut server = NatsServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("bank.db")).await.unwrap();
    let serving =
        serve(&server, &Teller::default(), Arc::new(store.clone()) as Arc<dyn EventStore>, |server| server).await;
    let proxy = Proxy::start(server.port(), 0).await.unwrap();

    let enough = Arc::new(AtomicBool::new(false));
    let (mut done, mut clients) = (Vec::new(), Vec::new());
    for client in 0..CLIENTS {
        let transport = NatsTransport::new(&Nats::connect(proxy.url()).await.unwrap())
            .attempt_timeout(Duration::from_millis(500))
            .timeout(Duration::from_secs(3));
        let count = Arc::new(AtomicU64::new(0));
        let load = load(client, AccountCommandServiceClient::new(transport), enough.clone(), count.clone());
        done.push(count);
        clients.push(tokio::spawn(load));
    }
    let all_work = async || {
        let before: Vec<_> = done.iter().map(|done| done.load(Ordering::SeqCst)).collect();
        let works = |(done, before): (&Arc<AtomicU64>, &u64)| done.load(Ordering::SeqCst) > *before;
        until("every client to be answered", async || done.iter().zip(&before).all(works)).await;
    };
    all_work().await;
    for _ in 0..if is_long() { 10 } else { 2 } {
        let earlier = proxy.accepted().len();
        let begun = Instant::now();
        server.kill();
        sleep(Duration::from_secs(if is_long() { 2 } else { 1 })).await;
        server.restart().await.unwrap();
        all_work().await;
        assert_spread(&proxy.accepted()[earlier..], begun);
    }

    enough.store(true, Ordering::SeqCst);
    let mut acknowledged = Vec::new();
    for client in join_all(clients).await {
        acknowledged.extend(client.unwrap());
    }
    assert_stored(&log(&store).await, acknowledged);
    within("the shutdown", serving.shutdown()).await;
}

/// The attempts to connect become fewer, and do not come all at once.
fn assert_spread(attempts: &[Instant], begun: Instant) {
    let mut slots = BTreeMap::<u128, usize>::new();
    for attempt in attempts {
        *slots.entry(attempt.duration_since(begun).as_millis() / 100).or_default() += 1;
    }
    eprintln!("attempts in each tenth of a second: {slots:?}");
    let (all, most) = (attempts.len(), slots.values().max().copied().unwrap_or_default());
    assert!(all >= CLIENTS as usize, "{all} attempts of {CLIENTS} clients");
    assert!(most * 2 < all, "{most} of {all} attempts within a tenth of a second");
}
