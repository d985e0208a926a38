//! The NATS server is killed under load and comes back: what was acknowledged is in the store, once.
//!
//! Twenty kills; `TORTURE=200 cargo test -p es-nats --test kills` makes it more.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bank::bank::v1::{AccountCommandServiceClient, AccountCommandServiceServer, AccountRepository};
use es_core::{Error, EventLog, Filter, Retry};
use es_nats::{NatsServer, NatsTransport};
use es_sqlite::SqliteStore;
use support::{Teller, connect, deposit, until, within};

const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_command_is_in_the_store_once_however_often_nats_is_killed() {
    let kills = std::env::var("TORTURE").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20);
    let mut server = test_servers::NatsServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("bank.db")).await.unwrap();
    let (nats, teller) = (connect(&server).await, Teller::default());
    let bank = AccountCommandServiceServer::new(teller.clone(), AccountRepository::new(store.clone()));
    let serving = NatsServer::new(&nats, &store).serve(bank).start().await.unwrap();

    let enough = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let transport = NatsTransport::new(&connect(&server).await).attempt_timeout(Duration::from_millis(500));
        let (accounts, enough) = (AccountCommandServiceClient::new(transport), enough.clone());
        clients.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            while !enough.load(Ordering::SeqCst) {
                let id = format!("c-{client}-{}", acknowledged.len());
                loop {
                    match accounts.deposit(deposit(&format!("a-{client}"), 1)).command_id(&*id).await {
                        Ok(reply) => {
                            acknowledged.push((id, reply.receipt().position));
                            break;
                        }
                        Err(Error::Rejected(refusal)) => panic!("refused: {refusal}"),
                        Err(error) => assert_ne!(error.retry(), Retry::Never, "{error}"),
                    }
                }
            }
            acknowledged
        }));
    }
    for _ in 0..kills {
        let before = teller.asked();
        until("some work", async || teller.asked() > before + 200).await;
        server.kill();
        server.restart().await.unwrap();
    }
    let before = teller.asked();
    until("work after the last kill", async || teller.asked() > before + 200).await;
    enough.store(true, Ordering::SeqCst);
    let mut acknowledged = Vec::new();
    for client in clients {
        acknowledged.extend(within("a client", client).await.unwrap());
    }
    within("the shutdown", serving.shutdown()).await;

    let mut stored = Vec::new();
    let mut after = 0;
    loop {
        let page = store.read_all(after, 1_000, &Filter::default()).await.unwrap();
        if page.scanned_to == after {
            break;
        }
        after = page.scanned_to;
        stored.extend(
            page.events
                .iter()
                .map(|event| (event.meta.origin().unwrap().command_id.clone().unwrap(), event.meta.position)),
        );
    }
    acknowledged.sort_by_key(|(_, position)| *position);
    assert_eq!(stored, acknowledged);
}
