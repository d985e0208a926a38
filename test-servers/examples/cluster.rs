//! A cluster of three nats-servers with JetStream until Ctrl-C: `cargo run -p test-servers --example cluster`.

use test_servers::NatsCluster;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cluster = NatsCluster::start(3).await?;
    for (url, pid) in cluster.urls().into_iter().zip((0..).map(|index| cluster.member(index).pid())) {
        println!("{url} (process {})", pid.unwrap_or_default());
    }
    println!("Kill one and see the others go on; Ctrl-C ends them all, and removes what they have stored.");
    println!("For the bank, in each terminal, with new files, because the stream of the former ones is elsewhere:\n");
    println!("export NATS_URL={}", cluster.url());
    println!("cargo run -p bank -- serve cluster.db");
    println!("cargo run -p bank -- project cluster-balances.db");
    Ok(tokio::signal::ctrl_c().await?)
}
