//! The bank over NATS: the same services as in one process, and its events for whoever follows them.

use bank::Bank;
use es_core::{Result, Runner};
use es_nats::NatsServer;

use crate::{
    ending, health,
    nats::{connect_or_start, relay},
};

/// Serves until it is told to end.
pub(crate) async fn run(file: &str) -> Result<()> {
    let bank = Bank::open(file).await?;
    let (_own, nats) = connect_or_start(file).await?;

    let serving = NatsServer::new(&nats, &bank.store).bus(&bank.bus).start().await?;
    let relay = relay(&nats, &bank.store).await?;
    let relaying = Runner::new(bank.store.clone()).run(relay).start()?;
    println!("The bank of {file} is open. Ctrl-C closes it.");

    tokio::select! {
        _ = ending::told() => println!("\nClosing: what was begun is answered first."),
        ended = serving.wait() => ended?,
        ended = health::tell(&bank.running) => ended?,
        ended = health::tell(&relaying) => ended?,
    }
    serving.shutdown().await;
    relaying.shutdown().await;
    bank.close().await
}
