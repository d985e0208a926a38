//! A cluster that loses the leader of the stream.

use async_nats::jetstream;
use test_servers::NatsCluster;

use crate::{
    support::{STREAM, is_long},
    whole::{Whole, Wiring},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_loses_the_streams_leader_costs_no_command_and_no_event() {
    let mut cluster = NatsCluster::start(3).await.unwrap();
    let url = cluster.url();
    let wiring = Wiring { clients: url.clone(), server: url.clone(), relay: url.clone(), subscriber: url };
    let whole = Whole::start(&wiring, |relay| relay.replicas(3)).await;
    whole.works(50).await;
    for kill in 1..=if is_long() { 20 } else { 1 } {
        let leader = cluster.leader_of(STREAM).await.unwrap();
        cluster.kill(leader);
        let next = cluster.leader_of(STREAM).await.unwrap();
        eprintln!("kill {kill}: {next} leads after {leader}, {} commands so far", whole.done());
        whole.works(100).await;
        cluster.restart(leader).await.unwrap();
        whole.works(50).await;
    }
    whole.check(&jetstream::new(async_nats::connect(cluster.urls()).await.unwrap())).await;
}
