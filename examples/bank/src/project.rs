//! A read model in a process of its own, made from what the bank publishes.

use bank::{
    bank::v1::{AccountView, ListAccountsRequest},
    read_models::{self, list},
};
use es_core::{Result, Runner, Running};
use es_nats::{Nats, Subscription};
use es_sqlite::SqliteProjection;
use futures_util::StreamExt;

use crate::{
    cli::euros,
    ending, health,
    nats::{STREAM, url},
};

/// Keeps the balances in a file, and shows them, until it is told to end.
pub(crate) async fn run(file: &str) -> Result<()> {
    println!("Follows what the bank publishes, once it does. Ctrl-C ends it.");
    let nats = Nats::connect_when_there(url()).await?;
    let log = Subscription::open_when_there(&nats, STREAM).await?;
    let balances = read_models::balances().build_over(file, log.clone())?;
    let running = Runner::new(log).run(balances.clone()).start()?;
    println!("Balances are kept in {file}.");

    tokio::select! {
        _ = ending::told() => {}
        ended = show(&balances, &running) => ended?,
        ended = health::tell(&running) => ended?,
    }
    running.shutdown().await;
    balances.close().await;
    Ok(())
}

/// Shows the balances, and again each time they have changed.
async fn show(balances: &SqliteProjection, running: &Running) -> Result<()> {
    let (mut changes, mut shown) = (running.changes("balances")?, 0);
    while let Some(status) = changes.next().await {
        if status.lag_events == 0 && status.checkpoint != shown {
            shown = status.checkpoint;
            println!("\nafter event {shown}:");
            let open =
                list(balances, ListAccountsRequest {}).await?.accounts.into_iter().filter(|account| account.open);
            for AccountView { owner, balance_cents, .. } in open {
                println!("  {owner:<12}{:>12}", euros(balance_cents));
            }
        }
    }
    Ok(())
}
