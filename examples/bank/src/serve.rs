//! The bank over NATS: the same services as in one process, and its events for whoever follows them.

use std::env;

use bank::Bank;
use es_core::{Error, Result, Runner};
use es_nats::{Nats, NatsServer, Relay};

/// The stream of the bank's events.
pub(crate) const STREAM: &str = "bank";

/// Serves until Ctrl-C.
pub(crate) async fn run(file: &str) -> Result<()> {
    let bank = Bank::open(file).await?;
    let (nats, _own) = connect_or_start(file).await?;

    let serving = NatsServer::new(&nats, &bank.store).bus(&bank.bus).start().await?;
    let relay = Relay::builder(&nats).stream(STREAM).build(&bank.store).await?;
    let relaying = Runner::new(bank.store.clone()).run(relay).start()?;
    println!("The bank of {file} is open. Ctrl-C closes it.");

    tokio::select! {
        _ = tokio::signal::ctrl_c() => println!("\nClosing: what was begun is answered first."),
        ended = serving.wait() => ended?,
    }
    serving.shutdown().await;
    relaying.shutdown().await;
    bank.close().await
}

/// Connects to the server at `NATS_URL`. Without that, and where none is, the demo runs one of its own.
async fn connect_or_start(file: &str) -> Result<(Nats, Option<test_servers::NatsServer>)> {
    match Nats::connect(url()).await {
        Err(Error::Unavailable { .. }) if env::var("NATS_URL").is_err() => {
            println!("There is no NATS server on this machine yet, so I run one.");
            let server = test_servers::NatsServer::builder().port(4222).store_dir(format!("{file}.nats"));
            let server = server.start().await.map_err(|error| Error::Unavailable { why: error.to_string() })?;
            Ok((Nats::connect(server.url()).await?, Some(server)))
        }
        connected => Ok((connected?, None)),
    }
}

/// Where NATS is.
pub(crate) fn url() -> String {
    env::var("NATS_URL").unwrap_or_else(|_| "nats://127.0.0.1:4222".into())
}
