//! An event-sourced bank: in one process on one SQLite file, or spread over several by NATS.

mod cli;
mod client;
mod ending;
mod health;
mod nats;
mod project;
mod reseed;
mod serve;
mod story;

use std::io;

use cli::Command;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    prelude::*,
};

#[tokio::main]
async fn main() -> es_core::Result<()> {
    log_to_stderr();
    match Command::parse(std::env::args().skip(1)) {
        Ok(Command::Help) => println!("{}", cli::USAGE),
        Ok(Command::Story { file }) => story::run(&file).await?,
        Ok(Command::Serve { file }) => serve::run(&file).await?,
        Ok(Command::Reseed { file }) => reseed::run(&file).await?,
        Ok(Command::Project { file }) => project::run(&file).await?,
        Ok(Command::Ask(request)) => client::run(request).await?,
        Err(usage) => {
            eprintln!("{usage}");
            std::process::exit(2);
        }
    }
    Ok(())
}

/// What is waited for, tried again or given up, the crates below say through `tracing`, to whoever listens.
fn log_to_stderr() {
    let ours = ["es_core", "es_nats", "es_sqlite"].map(|name| (name, LevelFilter::WARN));
    let lines = fmt::layer().with_writer(io::stderr);
    tracing_subscriber::registry().with(lines).with(Targets::new().with_targets(ours)).init();
}
