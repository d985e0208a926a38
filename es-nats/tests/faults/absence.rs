//! A server that is away, or stands still, for long: for clients, the server of commands, the relay and a read model.

use std::time::Duration;

use async_nats::jetstream;
use test_servers::NatsServer;
use tokio::time::sleep;

use crate::{
    support::is_long,
    whole::{Whole, Wiring},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_for_a_minute_costs_no_command_and_no_event() {
    let (mut server, whole) = start().await;
    server.kill();
    let done = whole.done();
    sleep(Duration::from_secs(if is_long() { 60 } else { 2 })).await;
    // One command of each client may have been answered when it went.
    assert!(whole.done() <= done + Whole::CLIENTS, "nothing is acknowledged without a server");
    server.restart().await.unwrap();
    check(&server, whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_costs_no_command_and_no_event() {
    let (mut server, whole) = start().await;
    // In the long form also for longer than it takes to give it up: three questions, ten seconds apart.
    for time in if is_long() { &[10, 60][..] } else { &[2] } {
        server.stop_signal();
        sleep(Duration::from_secs(*time)).await;
        server.cont_signal();
        whole.works(50).await;
    }
    check(&server, whole).await;
}

async fn start() -> (NatsServer, Whole) {
    let server = NatsServer::start().await.unwrap();
    let url = server.url();
    let wiring = Wiring { clients: url.clone(), server: url.clone(), relay: url.clone(), subscriber: url };
    let whole = Whole::start(&wiring, |relay| relay).await;
    whole.works(50).await;
    (server, whole)
}

async fn check(server: &NatsServer, whole: Whole) {
    whole.check(&jetstream::new(async_nats::connect(server.url()).await.unwrap())).await;
}
