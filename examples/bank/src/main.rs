//! Tells what happens in an event-sourced bank, on one SQLite file. Run it again and it goes on from there.

mod story;

use bank::Bank;

#[tokio::main]
async fn main() -> es_core::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "bank.db".into());
    let bank = Bank::open(&path).await?;
    story::tell(&bank).await?;
    bank.close().await?;
    println!("\nAll of it is in {path}. Run this again and the story goes on; delete the file and it starts anew.");
    Ok(())
}
