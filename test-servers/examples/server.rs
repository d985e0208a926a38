//! One nats-server with JetStream until Ctrl-C: `cargo run -p test-servers --example server -- 4222`.

use test_servers::NatsServer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(4222), |port| port.parse())?;
    let server = NatsServer::builder().port(port).start().await?;
    println!("{}\nCtrl-C ends it, and removes what it has stored.", server.url());
    Ok(tokio::signal::ctrl_c().await?)
}
