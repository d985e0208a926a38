//! The programs of a deployment as processes of their own, killed at any moment: two that serve and relay, and one that
//! keeps a read model.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bank::bank::v1::{AccountCommandServiceClient, AccountCommandServiceServer, AccountRepository};
use es_core::{EventLog, Retry, Runner, Running};
use es_nats::{Nats, NatsServer, NatsTransport, Relay, Serving};
use es_sqlite::{SqliteProjection, SqliteStore};
use test_servers::NatsServer as Server;
use tokio::time::sleep;

use crate::{
    support::{
        STREAM, Teller, assert_equal, connect, is_long, log,
        process::{Child, argument, role, until_orphaned},
        until, within,
    },
    test_name,
    whole::{assert_read, assert_stored, balances, load, subscribe},
};

const FOLDER: &str = "ES_NATS_FOLDER";
const URL: &str = "ES_NATS_URL";
const CLIENTS: u64 = 4;
const PATIENCE: Duration = Duration::from_secs(90);
/// Of killed relays and readers; nobody has their place for so long.
const LEASE: Duration = Duration::from_millis(500);

/// Serves and relays, or keeps the read model, until its parent is gone.
#[test]
fn a_program() {
    let Some(role) = role() else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let (folder, nats) = (argument(FOLDER), Nats::connect(argument(URL)).await.unwrap());
        if role == "serves" {
            let store = SqliteStore::open(Path::new(&folder).join("bank.db")).await.unwrap();
            let _serving = serve(&nats, &store).await;
            let _relaying = relay(&nats, &store).await;
            println!("ready");
            until_orphaned().await;
        } else {
            let (_balances, _projecting) = project(&nats, Path::new(&folder)).await;
            println!("ready");
            until_orphaned().await;
        }
    });
}

/// As long as nobody answers who they are, those who serve already may be of another store: then it is tried again.
async fn serve(nats: &Nats, store: &SqliteStore) -> Serving {
    loop {
        let accounts = AccountCommandServiceServer::new(Teller::default(), AccountRepository::new(store.clone()));
        match NatsServer::new(nats, store).serve(accounts).start().await {
            Ok(serving) => return serving,
            Err(error) => assert_eq!(error.retry(), Retry::Safe, "{error}"),
        }
    }
}

async fn relay(nats: &Nats, store: &SqliteStore) -> Running {
    let relay = Relay::builder(nats).stream(STREAM).lease(LEASE).build(store).await.unwrap();
    Runner::new(store.clone()).run(relay).start().unwrap()
}

async fn project(nats: &Nats, folder: &Path) -> (SqliteProjection, Running) {
    let subscription = subscribe(nats).await;
    let balances = balances().lease(LEASE).build_over(folder.join("read.db"), subscription.clone()).unwrap();
    (balances.clone(), Runner::new(subscription).run(balances).start().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_are_killed_at_any_moment_cost_no_command_and_no_event() {
    let (server, folder) = (Server::start().await.unwrap(), tempfile::tempdir().unwrap());
    let (url, place) = (server.url(), folder.path().to_str().unwrap().to_owned());
    let start = |role: &str| Child::start(test_name!(a_program), role, &[(FOLDER, &place), (URL, &url)]);
    let roles = ["serves", "serves", "projects"];
    let mut programs = roles.map(start);
    until("all to be ready", async || programs.iter().all(|program| program.last() == "ready")).await;

    let (enough, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let transport = NatsTransport::new(&connect(&server).await)
            .attempt_timeout(Duration::from_millis(300))
            .timeout(Duration::from_secs(3));
        let load = load(client, AccountCommandServiceClient::new(transport), enough.clone(), done.clone());
        clients.push(tokio::spawn(load));
    }
    for kill in 0..if is_long() { 300 } else { 9 } {
        let before = done.load(Ordering::SeqCst);
        until("commands are acknowledged", async || done.load(Ordering::SeqCst) >= before + 20).await;
        let which = kill % roles.len();
        // Now and then while it still starts.
        if kill % 2 == 0 {
            until("one to be ready", async || programs[which].last() == "ready").await;
        }
        sleep(Duration::from_millis(kill as u64 * 7 % 30)).await;
        std::mem::replace(&mut programs[which], start(roles[which])).kill();
    }
    enough.store(true, Ordering::SeqCst);
    let mut acknowledged = Vec::new();
    for client in clients {
        acknowledged.extend(within("a client", client).await.unwrap());
    }
    programs.into_iter().for_each(Child::kill);

    // What they left is all there, and goes on.
    let nats = connect(&server).await;
    let store = SqliteStore::open(folder.path().join("bank.db")).await.unwrap();
    let events = log(&store).await;
    assert_stored(&events, acknowledged);
    let (head, relaying) = (store.head().await.unwrap(), relay(&nats, &store).await);
    relaying.wait_for_position(&format!("relay:{STREAM}"), head, PATIENCE).await.unwrap();
    let jetstream = async_nats::jetstream::new(nats.client().clone());
    assert_equal(&jetstream.get_stream(STREAM).await.unwrap(), &store).await;
    let (balances, projecting) = project(&nats, folder.path()).await;
    projecting.wait_for_position("balances", head, PATIENCE).await.unwrap();
    assert_read(&balances, &events).await;
    projecting.shutdown().await;
    relaying.shutdown().await;
}
