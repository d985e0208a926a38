//! Checks the file of a store: `cargo run -p es-sqlite --example verify -- bank.db`.
//!
//! Exit code 0: it is sound; 1: something was found; 2: it could not be checked.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: verify <file of a store>");
        return ExitCode::from(2);
    };
    match es_sqlite::verify(path).await {
        Ok(report) => {
            println!("{report}");
            ExitCode::from(u8::from(!report.is_sound()))
        }
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::from(2)
        }
    }
}
