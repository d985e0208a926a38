//! Waiting for what is not there yet.

use std::time::Duration;

use es_core::{Result, Retry, subscriber::pause_before_retry};
use tokio::time::sleep;

/// Between two tries, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Asks until there is an answer, or an error that does not pass by itself. Each reason to wait is logged once.
pub(crate) async fn until_there<T, F>(what: &str, mut ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let (mut failures, mut told) = (0, String::new());
    loop {
        match ask().await {
            Err(error) if error.retry() == Retry::Safe => {
                failures += 1;
                let why = error.to_string();
                if why != told {
                    tracing::warn!(%error, "waiting for {what}");
                    told = why;
                }
                sleep(pause_before_retry(failures).min(LONGEST_PAUSE)).await;
            }
            answer => return answer,
        }
    }
}
