//! A cluster: replicated streams, and the end of their leader.

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use test_servers::NatsCluster;
use tokio::time::timeout;

/// Publishes until it is acknowledged.
async fn publish(jetstream: &jetstream::Context) {
    let publishing = async {
        loop {
            if let Ok(acknowledged) = jetstream.publish("s", "kept".into()).await
                && acknowledged.await.is_ok()
            {
                return;
            }
        }
    };
    timeout(Duration::from_secs(60), publishing).await.unwrap();
}

#[tokio::test]
async fn a_stream_outlives_its_leader() {
    let mut cluster = NatsCluster::start(3).await.unwrap();
    let jetstream = jetstream::new(async_nats::connect(cluster.urls()).await.unwrap());
    let config = stream::Config { name: "S".into(), subjects: vec!["s".into()], num_replicas: 3, ..Default::default() };
    jetstream.create_stream(config).await.unwrap();
    publish(&jetstream).await;

    let leader = cluster.leader_of("S").await.unwrap();
    cluster.kill(leader);
    let next = cluster.leader_of("S").await.unwrap();
    assert_ne!(next, leader);
    publish(&jetstream).await;
    cluster.restart(leader).await.unwrap();

    // Without the one that was there all the time, it has to have caught up.
    cluster.kill(next);
    cluster.leader_of("S").await.unwrap();
    publish(&jetstream).await;
    let state = jetstream.get_stream("S").await.unwrap().cached_info().state.clone();
    assert!(state.messages >= 3, "{state:?}");
}
