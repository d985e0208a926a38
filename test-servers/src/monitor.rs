//! A server's monitoring endpoint.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one request may take: a stopped server accepts and never answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// The JSON that the server says at `path`, whatever the status.
pub(crate) async fn get(port: u16, path: &str) -> io::Result<Value> {
    let exchange = async {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        // HTTP 1.0, so that the answer is plain and ends with the connection.
        connection.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await?;
        io::Result::Ok(answer)
    };
    let answer = timeout(PATIENCE, exchange).await??;
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    Ok(serde_json::from_slice(&answer[body..])?)
}
