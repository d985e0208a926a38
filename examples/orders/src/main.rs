//! Tells what happens in a shop, on one SQLite file. `cargo run -p orders -- rebuild` makes its list of orders anew.

mod rebuild;
mod story;

use std::time::Duration;

use es_sqlite::SqliteStore;
use orders::{Shop, order::PATIENCE};

/// For the story: nobody wants to watch half an hour go by.
const IMPATIENT: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> es_core::Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    let rebuilds = arguments.next_if_eq("rebuild").is_some();
    let path = arguments.next().unwrap_or_else(|| "orders.db".into());
    let store = SqliteStore::open(&path).await?;
    let shop = Shop::open(store, if rebuilds { PATIENCE } else { IMPATIENT }).await?;
    if rebuilds {
        rebuild::list(&shop).await?;
    } else {
        story::tell(&shop).await?;
        println!("\nAll of it is in {path}. `cargo run -p orders -- rebuild` makes the list anew from its events.");
    }
    shop.close().await
}
