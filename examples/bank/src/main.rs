//! An event-sourced bank: in one process on one SQLite file, or spread over several by NATS.

mod cli;
mod client;
mod project;
mod serve;
mod story;

use cli::Command;

#[tokio::main]
async fn main() -> es_core::Result<()> {
    match Command::parse(std::env::args().skip(1)) {
        Ok(Command::Story { file }) => story::run(&file).await,
        Ok(Command::Serve { file }) => serve::run(&file).await,
        Ok(Command::Project { file }) => project::run(&file).await,
        Ok(Command::Ask(request)) => client::run(request).await,
        Err(usage) => {
            eprintln!("{usage}");
            std::process::exit(2);
        }
    }
}
