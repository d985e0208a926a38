//! Another connection in place of one that has ended for good.

use std::{
    sync::Weak,
    time::{Duration, Instant},
};

use es_core::Error;
use tokio::time::sleep;

use crate::{
    connect,
    connection::{Ended, Shared},
};

/// Before another connection is made; doubled each time as long as none lives for [`A_WHILE`].
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that ends sooner is counted: what has ended it may be sent again to the next one.
const A_WHILE: Duration = Duration::from_secs(60);

/// Watches over connections until no one has them any more.
pub(crate) fn keep(shared: Weak<Shared>, ended: Ended) {
    tokio::spawn(keeping(shared, ended));
}

async fn keeping(shared: Weak<Shared>, mut ended: Ended) {
    let mut failures = 0;
    loop {
        let begun = Instant::now();
        ended.wait().await;
        if shared.strong_count() == 0 {
            // It has ended because no one has it.
            return;
        }
        failures = if begun.elapsed() < A_WHILE { failures + 1 } else { 1 };
        tracing::error!(failures, "the connection to NATS has ended for good; making another");
        loop {
            sleep(pause(failures)).await;
            let Some(shared) = shared.upgrade() else { return };
            match connect::connect(shared.options(), shared.link()).await {
                Ok(connection) => {
                    ended = connection.ended();
                    shared.replace(connection);
                    tracing::info!("connected to NATS again");
                    break;
                }
                Err(Error::Refused { why, .. }) => {
                    let pause = shared.link().refuse(why);
                    drop(shared);
                    sleep(pause).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "not yet connected to NATS again");
                    failures += 1;
                }
            }
        }
    }
}

/// The pause before another attempt, after so many connections and attempts that came to nothing: in part at random.
fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1);
    let pause = PAUSE.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_PAUSE);
    pause.mul_f64(0.75 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_growing() {
        assert!((0..100).all(|_| pause(1) <= PAUSE * 5 / 4));
        assert!((0..100).all(|_| pause(4) >= PAUSE * 6));
        assert!((0..100).all(|_| (LONGEST_PAUSE * 3 / 4..=LONGEST_PAUSE * 5 / 4).contains(&pause(u32::MAX))));
    }
}
