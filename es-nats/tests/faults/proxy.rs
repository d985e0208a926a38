//! A network that cuts, resets, holds, delays and loses what is said.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use test_servers::{NatsServer, Proxy, Way};

use crate::{
    support::is_long,
    whole::{Whole, Wiring},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_network_costs_no_command_and_no_event() {
    let given = std::env::var("TORTURE_SEED").ok().map(|seed| seed.parse().expect("TORTURE_SEED is a number"));
    let (runs, time) = if is_long() { (20, Duration::from_secs(15)) } else { (1, Duration::from_secs(6)) };
    for _ in 0..if given.is_some() { 1 } else { runs } {
        run(given.unwrap_or_else(|| fastrand::u64(..1 << 32)), time).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_loses_everything_in_silence_heals() {
    let silence = Duration::from_secs(if is_long() { 60 } else { 2 });
    let (server, proxies, whole) = start(1).await;
    for way in [Way::ToServer, Way::ToClient, Way::Both] {
        proxies.iter().for_each(|proxy| proxy.black_hole(way));
        tokio::time::sleep(silence).await;
        proxies.iter().for_each(Proxy::calm);
        whole.works(50).await;
    }
    whole.check(&jetstream::new(async_nats::connect(server.url()).await.unwrap())).await;
}

async fn run(seed: u64, time: Duration) {
    eprintln!("to repeat: TORTURE_SEED={seed}");
    let (server, proxies, whole) = start(seed).await;
    proxies.iter().for_each(Proxy::chaos);
    let (begun, before) = (Instant::now(), whole.done());
    tokio::time::sleep(time).await;
    eprintln!("{} commands in {:?} of chaos", whole.done() - before, begun.elapsed());
    proxies.iter().for_each(Proxy::calm);
    let begun = Instant::now();
    whole.check(&jetstream::new(async_nats::connect(server.url()).await.unwrap())).await;
    eprintln!("all right {:?} after it", begun.elapsed());
}

/// A server, and everything else connected to it through proxies.
pub(crate) async fn start(seed: u64) -> (NatsServer, Vec<Proxy>, Whole) {
    let server = NatsServer::start().await.unwrap();
    let mut proxies = Vec::new();
    for part in 0..4 {
        proxies.push(Proxy::start(server.port(), seed.wrapping_mul(4).wrapping_add(part)).await.unwrap());
    }
    let [clients, serving, relay, subscriber] = [0, 1, 2, 3].map(|part: usize| proxies[part].url());
    let whole = Whole::start(&Wiring { clients, server: serving, relay, subscriber }, |relay| relay).await;
    whole.works(50).await;
    (server, proxies, whole)
}
