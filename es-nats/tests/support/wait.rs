//! How long tests wait, and for what.

use std::{future::Future, time::Duration};

/// How long anything may take that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Whether the long form was asked for.
pub fn is_long() -> bool {
    std::env::var("TORTURE").is_ok_and(|form| form == "long")
}

/// Waits until it is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Awaits it, for no longer than a test may take.
pub async fn within<R>(what: &str, future: impl Future<Output = R>) -> R {
    tokio::time::timeout(Duration::from_secs(60), future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}
