//! Messages that no one can read, and who they hit.

use std::sync::atomic::{AtomicUsize, Ordering};

use es_nats::Nats;
use futures_util::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{until, within};

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

/// Ends a connection for good: it is sent such a message.
pub async fn end(server: &test_servers::NatsServer, nats: &Nats) {
    static ENDS: AtomicUsize = AtomicUsize::new(0);
    let (client, victim) = (nats.client(), format!("victim.{}", ENDS.fetch_add(1, Ordering::Relaxed)));
    let mut messages = client.subscribe(victim.clone()).await.unwrap();
    client.publish(victim.clone(), "heard".into()).await.unwrap();
    assert_eq!(within("a first message", messages.next()).await.unwrap().payload, "heard");
    send(server, &victim, PANICS).await;
    assert!(within("the end", messages.next()).await.is_none());
    client.flush().await.unwrap_err();
}

/// Waits until there is another connection in place of one that has ended.
pub async fn healed(nats: &Nats) {
    until("another connection", async || nats.client().flush().await.is_ok()).await;
}
