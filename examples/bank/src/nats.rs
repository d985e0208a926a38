//! Where NATS is, and what of it is the bank's.

use std::{env, net::Ipv4Addr};

use es_core::{Error, Result};
use es_nats::{Nats, Relay};
use es_sqlite::SqliteStore;
use test_servers::NatsServer;
use tokio::net::TcpStream;

/// The stream of the bank's events.
pub(crate) const STREAM: &str = "bank";

/// Where a server is looked for, and started, when `NATS_URL` says nothing.
const PORT: u16 = 4222;

/// Where NATS is.
pub(crate) fn url() -> String {
    given().unwrap_or_else(|| format!("nats://127.0.0.1:{PORT}"))
}

fn given() -> Option<String> {
    env::var("NATS_URL").ok().filter(|url| !url.is_empty())
}

/// Connects to the server at `NATS_URL`. Without that, and where none is, the demo runs one of its own.
pub(crate) async fn connect_or_start(file: &str) -> Result<(Option<NatsServer>, Nats)> {
    if given().is_some() {
        return Ok((None, Nats::connect(url()).await?));
    }
    let is_free = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).await.is_err();
    if is_free {
        println!("There is no NATS server on this machine yet, so I run one.");
        match NatsServer::builder().port(PORT).store_dir(format!("{file}.nats")).start().await {
            Ok(server) => {
                println!("It ends with me, and keeps what is published in {file}.nats: delete that with {file}.");
                let nats = Nats::connect(server.url()).await?;
                return Ok((Some(server), nats));
            }
            // Another was faster with the port.
            Err(_) if TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).await.is_ok() => {}
            Err(error) => return Err(Error::Unavailable { why: error.to_string() }),
        }
    }
    match Nats::connect(url()).await {
        Err(Error::Unavailable { why }) => Err(Error::Unavailable {
            why: format!("something else than a NATS server has port {PORT}; set NATS_URL to where one is ({why})"),
        }),
        connected => Ok((None, connected?)),
    }
}

/// What publishes the bank's events. In a cluster, three servers keep them: with one, they are away when it is.
pub(crate) async fn relay(nats: &Nats, store: &SqliteStore) -> Result<Relay> {
    let replicas = if url().contains(',') { 3 } else { 1 };
    Relay::builder(nats).stream(STREAM).replicas(replicas).build(store).await
}
