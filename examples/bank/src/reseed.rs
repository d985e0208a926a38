//! The bank's stream made anew, after it was lost or the store was restored.

use std::{path::Path, time::Duration};

use es_core::{Error, EventLog, Result, Runner};
use es_sqlite::SqliteStore;

use crate::nats::{STREAM, connect_or_start, relay};

/// Publishes all events of a bank to a new stream.
pub(crate) async fn run(file: &str) -> Result<()> {
    if !Path::new(file).exists() {
        return Err(Error::InvalidRequest { why: format!("there is no bank in {file}") });
    }
    let store = SqliteStore::open(file).await?;
    let (_own, nats) = connect_or_start(file).await?;
    let relay = relay(&nats, &store).await?;
    match relay.reseed().await {
        Err(Error::CheckpointMoved { .. }) => {
            let why = "a `bank serve` has the stream, or was killed less than 10 s ago; end it, and try again".into();
            return Err(Error::Unavailable { why });
        }
        reseeded => reseeded?,
    }
    let relaying = Runner::new(store.clone()).run(relay).start()?;
    let head = store.head().await?;
    relaying.wait_for_position(&format!("relay:{STREAM}"), head, Duration::from_secs(60)).await?;
    relaying.shutdown().await;
    println!("All events of {file} are published anew, up to event {head}.");
    store.shutdown().await
}
