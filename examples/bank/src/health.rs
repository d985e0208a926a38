//! Says when something of the bank has stopped, and when it goes on.

use es_core::{Error, Result, Running, runner::State};
use futures_util::{StreamExt, future::try_join_all};

/// Tells of all that run, for as long as they do.
pub(crate) async fn tell(running: &Running) -> Result<()> {
    try_join_all(running.statuses().into_keys().map(|name| tell_of(running, name))).await.map(drop)
}

async fn tell_of(running: &Running, name: String) -> Result<()> {
    let (mut changes, mut told) = (running.changes(&name)?, String::new());
    while let Some(status) = changes.next().await {
        let line = match status.state {
            State::Faulted(error) => format!("has stopped: {error}{}", advice(&name, &error)),
            State::Standby => "stands by: another process has it, or was killed less than 10 s ago".into(),
            State::Live if !told.is_empty() => "goes on".into(),
            _ => continue,
        };
        if line != told {
            println!("`{name}` {line}.");
            told = line;
        }
    }
    Ok(())
}

fn advice(name: &str, error: &Error) -> &'static str {
    match error {
        Error::Diverged { .. } if name.starts_with("relay:") => {
            ".\nIn this demo, end this and serve again after `bank reseed`, which makes the stream anew; or, where the \
             stream is that of a former file, after deleting what it left in FILE.nats"
        }
        _ => "",
    }
}
