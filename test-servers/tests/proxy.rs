//! The faults of the proxy, before a server that echoes.

use std::time::{Duration, Instant};

use test_servers::{Proxy, Way};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_millis(200);

async fn echoing() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = client.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    port
}

async fn proxy() -> Proxy {
    Proxy::start(echoing().await, 1).await.unwrap()
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap()
}

/// Says it and hears it again.
async fn echo(connection: &mut TcpStream, text: &[u8]) -> std::io::Result<()> {
    connection.write_all(text).await?;
    let mut heard = vec![0; text.len()];
    timeout(PATIENCE, connection.read_exact(&mut heard)).await.expect("an answer or an end")?;
    assert_eq!(heard, text);
    Ok(())
}

async fn is_silent(connection: &mut TcpStream) -> bool {
    timeout(SILENCE, connection.read(&mut [0])).await.is_err()
}

/// How the connection ends: `Ok` when it is closed.
async fn ended(connection: &mut TcpStream) -> std::io::Result<()> {
    timeout(PATIENCE, connection.read(&mut [0])).await.expect("an end").map(|bytes| assert_eq!(bytes, 0))
}

#[tokio::test]
async fn bytes_come_through_whole_or_one_by_one() {
    let proxy = proxy().await;
    let mut connection = connect(&proxy).await;
    let text: Vec<u8> = (0..50_000_u32).map(|n| n as u8).collect();
    echo(&mut connection, &text).await.unwrap();
    proxy.one_byte_chunks(Way::Both);
    echo(&mut connection, &text).await.unwrap();
}

#[tokio::test]
async fn connections_are_closed_or_reset_and_new_ones_refused() {
    let proxy = proxy().await;
    let mut connection = connect(&proxy).await;
    echo(&mut connection, b"one").await.unwrap();
    proxy.cut();
    ended(&mut connection).await.unwrap();

    let mut connection = connect(&proxy).await;
    echo(&mut connection, b"two").await.unwrap();
    proxy.reset();
    assert_eq!(ended(&mut connection).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);

    proxy.refuse(true);
    assert!(echo(&mut connect(&proxy).await, b"three").await.is_err());
    proxy.calm();
    echo(&mut connect(&proxy).await, b"four").await.unwrap();
}

#[tokio::test]
async fn every_connection_is_counted_when_it_comes() {
    let proxy = proxy().await;
    let begun = Instant::now();
    let mut first = connect(&proxy).await;
    echo(&mut first, b"one").await.unwrap();
    proxy.refuse(true);
    let _ = ended(&mut connect(&proxy).await).await;
    let accepted = proxy.accepted();
    assert_eq!(accepted.len(), 2);
    assert!(begun <= accepted[0] && accepted[0] <= accepted[1]);
}

#[tokio::test]
async fn a_black_hole_says_nothing_and_leaves_no_gap() {
    for way in [Way::ToServer, Way::ToClient, Way::Both] {
        let proxy = proxy().await;
        let (mut talking, mut quiet) = (connect(&proxy).await, connect(&proxy).await);
        echo(&mut talking, b"before").await.unwrap();
        echo(&mut quiet, b"before").await.unwrap();
        proxy.black_hole(way);
        talking.write_all(b"lost").await.unwrap();
        assert!(is_silent(&mut talking).await);
        proxy.calm();
        assert!(ended(&mut talking).await.is_err());
        echo(&mut quiet, b"after").await.unwrap();
    }
}

#[tokio::test]
async fn what_is_held_or_delayed_comes_later() {
    let proxy = proxy().await;
    let mut connection = connect(&proxy).await;
    echo(&mut connection, b"before").await.unwrap();
    for late in [Proxy::stall, Proxy::delay] {
        let begun = Instant::now();
        late(&proxy, Way::ToClient, Duration::from_millis(300));
        echo(&mut connection, b"late").await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(300));
    }
    proxy.calm();
    echo(&mut connection, b"after").await.unwrap();
}

#[tokio::test]
async fn chaos_ends_connections_until_it_is_calm() {
    let proxy = proxy().await;
    proxy.chaos();
    let deadline = Instant::now() + PATIENCE;
    for ends in 0.. {
        if ends == 3 {
            break;
        }
        let mut connection = connect(&proxy).await;
        while echo(&mut connection, b"whole or not at all").await.is_ok() {
            assert!(Instant::now() < deadline, "{ends} ends");
        }
    }
    proxy.calm();
    let mut connection = connect(&proxy).await;
    for _ in 0..1_000 {
        echo(&mut connection, b"calm").await.unwrap();
    }
}
