//! A cluster that loses the leader of the stream.

use async_nats::jetstream;
use es_core::{EventLog, Runner};
use es_nats::{Nats, Relay};
use es_sqlite::SqliteStore;
use test_servers::NatsCluster;

use crate::support::{NAME, STREAM, append, assert_equal, is_long, reached};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_loses_the_stream_s_leader_has_every_event_once() {
    let mut cluster = NatsCluster::start(3).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("bank.db")).await.unwrap();
    let nats = Nats::connect(cluster.url()).await.unwrap();
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
        let leader = cluster.leader_of(STREAM).await.unwrap();
        cluster.kill(leader);
        for _ in 0..100 {
            id += 1;
            append(&store, id, 1 + id as usize % 20).await;
        }
        let head = store.head().await.unwrap();
        reached(&running, |status| status.checkpoint >= head).await;
        cluster.restart(leader).await.unwrap();
    }
    let head = store.head().await.unwrap();
    reached(&running, |status| status.checkpoint >= head).await;
    let jetstream = jetstream::new(async_nats::connect(cluster.urls()).await.unwrap());
    assert_equal(&jetstream.get_stream(STREAM).await.unwrap(), &store).await;
    assert!(relay.verify().await.unwrap().is_equal());
    running.shutdown().await;
}
