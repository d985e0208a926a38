//! A read model in a process of its own, made from what the bank publishes.

use bank::{
    bank::v1::{AccountView, ListAccountsRequest},
    read_models::{self, list},
};
use es_core::{Error, Result, Runner};
use es_nats::{Nats, Subscription};
use futures_util::StreamExt;

use crate::{
    cli::euros,
    serve::{STREAM, url},
};

/// Shows the balances, again each time they change, until Ctrl-C.
pub(crate) async fn run(file: &str) -> Result<()> {
    println!("Balances are kept in {file}, by the events that the bank publishes, once it does. Ctrl-C ends it.");
    let nats = Nats::connect_when_there(url()).await?;
    let log = Subscription::open_when_there(&nats, STREAM).await?;
    let balances = read_models::balances().build_over(file, log.clone())?;
    let running = Runner::new(log).run(balances.clone()).start()?;

    let (mut changes, mut shown) = (running.changes("balances")?, None);
    loop {
        let status = tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            changed = changes.next() => changed.ok_or(Error::ShuttingDown)?,
        };
        if status.lag_events == 0 && shown != Some(status.checkpoint) {
            shown = Some(status.checkpoint);
            println!("\nafter {} events:", status.checkpoint);
            let open =
                list(&balances, ListAccountsRequest {}).await?.accounts.into_iter().filter(|account| account.open);
            for AccountView { owner, balance_cents, .. } in open {
                println!("  {owner:<12}{:>12}", euros(balance_cents));
            }
        }
    }
    running.shutdown().await;
    balances.close().await;
    Ok(())
}
