//! Messages that no one can read, and who they hit.

use es_nats::{Nats, NatsOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::until;

/// Headers that the server takes, and that the client below panics at.
pub const PANICS: &[u8] = b"NATS/1.0\r\nX: a\rb\r\n\r\n";

/// Sends a message with these headers, as they are, and waits until the server has it.
pub async fn send(server: &test_servers::NatsServer, subject: &str, headers: &[u8]) {
    let mut sender = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    sender.write_all(b"CONNECT {\"headers\":true,\"verbose\":false}\r\n").await.unwrap();
    let head = format!("HPUB {subject} r {} {}\r\n", headers.len(), headers.len());
    sender.write_all(&[head.as_bytes(), headers, b"\r\nPING\r\n"].concat()).await.unwrap();
    let mut said = Vec::new();
    while !said.windows(4).any(|window| window == b"PONG") {
        let mut buffer = [0; 1024];
        let bytes = sender.read(&mut buffer).await.unwrap();
        assert!(bytes > 0, "the server has closed: {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&buffer[..bytes]);
    }
}

/// A connection that its server knows by name.
pub async fn named(server: &test_servers::NatsServer, name: &str) -> Nats {
    let options = NatsOptions::new(server.url()).name(name).inbox_prefix(format!("_INBOX_{name}"));
    Nats::connect(options).await.unwrap()
}

/// Ends a connection of this name for good, and waits until there is another.
pub async fn end(server: &test_servers::NatsServer, name: &str) {
    let mut former = None;
    until("an inbox", async || {
        former = connection(server, name).await.filter(|(_, inbox)| inbox.is_some());
        former.is_some()
    })
    .await;
    let (number, inbox) = former.unwrap();
    send(server, &inbox.unwrap().replace('*', "x"), PANICS).await;
    until("another connection", async || connection(server, name).await.is_some_and(|(another, _)| another != number))
        .await;
}

/// The connection that has this name, by its number, and an inbox of it.
async fn connection(server: &test_servers::NatsServer, name: &str) -> Option<(u64, Option<String>)> {
    let all = server.monitor("/connz?subs=1").await.unwrap();
    let one = all["connections"].as_array()?.iter().find(|connection| connection["name"] == name)?;
    let subjects = one["subscriptions_list"].as_array().into_iter().flatten().filter_map(|subject| subject.as_str());
    let inbox = subjects.into_iter().find(|subject| subject.starts_with("_INBOX_")).map(str::to_owned);
    Some((one["cid"].as_u64()?, inbox))
}

/// How many connections the server has had.
pub async fn connections(server: &test_servers::NatsServer) -> u64 {
    server.monitor("/varz").await.unwrap()["total_connections"].as_u64().unwrap()
}
