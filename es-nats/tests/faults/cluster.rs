//! A cluster that loses a member.

use std::time::Instant;

use async_nats::jetstream;
use test_servers::NatsCluster;

use crate::{
    support::{STREAM, is_long},
    whole::{Whole, Wiring},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_loses_the_streams_leader_costs_no_command_and_no_event() {
    let mut cluster = NatsCluster::start(3).await.unwrap();
    let whole = start(&cluster).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_stands_still_is_left_for_the_others() {
    let mut cluster = NatsCluster::start(3).await.unwrap();
    let whole = start(&cluster).await;
    let leader = cluster.leader_of(STREAM).await.unwrap();
    cluster.hold(leader);
    let begun = Instant::now();
    // Some may work on, if neither they nor the bank are connected to this one; all of them have to in the end.
    whole.check(&jetstream::new(async_nats::connect(cluster.urls()).await.unwrap())).await;
    eprintln!("all right {:?} after {leader} was held", begun.elapsed());
}

/// Everything connected to whichever member it likes, and at work.
async fn start(cluster: &NatsCluster) -> Whole {
    let url = cluster.url();
    let wiring = Wiring { clients: url.clone(), server: url.clone(), relay: url.clone(), subscriber: url };
    let whole = Whole::start(&wiring, |relay| relay.replicas(3)).await;
    whole.works(50).await;
    whole
}
