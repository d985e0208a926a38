//! The tokio runtime that tasks of ours run on.

use std::time::Duration;

use tokio::{runtime::Handle, time::sleep};

use crate::{Error, Result, guard::guard_call};

/// The current runtime, which must have timers. `needs` says who wants it: "a runner needs".
pub(crate) fn with_timers(needs: &str) -> Result<Handle> {
    let unavailable = |why: String| Error::Unavailable { why: format!("{needs} a tokio runtime{why}") };
    let runtime = Handle::try_current().map_err(|error| unavailable(format!(": {error}")))?;
    guard_call(|| "a tokio runtime without timers".into(), || drop(sleep(Duration::ZERO)))
        .map_err(|_| unavailable(" with timers: enable_time()".into()))?;
    Ok(runtime)
}
