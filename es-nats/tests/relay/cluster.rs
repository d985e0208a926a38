//! A cluster that loses the leader of the stream.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use async_nats::{
    ServerAddr,
    jetstream::{self, stream::Stream},
};
use es_core::{EventLog, Runner};
use es_nats::{Nats, Relay};
use es_sqlite::SqliteStore;
use futures_util::future::join_all;
use test_servers::NatsServer;
use tokio::time::sleep;

use crate::support::{NAME, STREAM, append, assert_equal, is_long, reached};

async fn cluster() -> Vec<NatsServer> {
    // Held until there are three, so that they differ.
    let held: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let routes: Vec<_> = held.iter().map(|listener| listener.local_addr().unwrap()).collect();
    drop(held);
    let all = routes.iter().map(|route| format!("\"nats://{route}\"")).collect::<Vec<_>>().join(", ");
    let config = |route| format!("cluster {{ name: test, listen: \"{route}\", routes: [{all}] }}");
    let start = |(at, route)| NatsServer::builder().name(format!("node-{at}")).config(&config(route)).start();
    let started = join_all(routes.iter().enumerate().map(start)).await;
    started.into_iter().map(Result::unwrap).collect()
}

/// From whichever server answers.
async fn stream(urls: &[ServerAddr]) -> Stream {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let jetstream = jetstream::new(async_nats::connect(urls).await.unwrap());
        match jetstream.get_stream(STREAM).await {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_loses_the_stream_s_leader_has_every_event_once() {
    let mut servers = cluster().await;
    let urls: Vec<ServerAddr> = servers.iter().map(|server| server.url().parse().unwrap()).collect();
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("bank.db")).await.unwrap();
    // It is told of the others.
    let nats = Nats::connect(servers[0].url()).await.unwrap();
    let relay = Relay::builder(&nats).stream(STREAM).replicas(3).build(&store).await.unwrap();
    let running = Runner::new(store.clone()).run(relay.clone()).start().unwrap();
    let mut id = 0;
    for _ in 0..if is_long() { 20 } else { 3 } {
        let checkpoint = running.status(NAME).unwrap().checkpoint;
        for _ in 0..100 {
            id += 1;
            append(&store, id, 1 + id as usize % 20).await;
        }
        reached(&running, |status| status.checkpoint > checkpoint).await;
        let cluster = stream(&urls).await.cached_info().cluster.clone().unwrap();
        let leader = cluster.leader.unwrap_or_default();
        let Some(server) = servers.iter_mut().find(|server| server.name() == leader) else { continue };
        server.kill();
        for _ in 0..100 {
            id += 1;
            append(&store, id, 1 + id as usize % 20).await;
        }
        let head = store.head().await.unwrap();
        reached(&running, |status| status.checkpoint >= head).await;
        server.restart().await.unwrap();
    }
    let head = store.head().await.unwrap();
    reached(&running, |status| status.checkpoint >= head).await;
    assert_equal(&stream(&urls).await, &store).await;
    assert!(relay.verify().await.unwrap().is_equal());
    running.shutdown().await;
}
