//! Deciding again after a conflict.

use std::time::Duration;

use crate::{Error, Result};

/// How often a decision is made before a conflict is reported. With four processes of 16 tasks each on one aggregate,
/// 0.1 to 0.3 % of the commands lose this often; with 5 tries it was up to 1.7 %.
const TRIES: u32 = 8;
/// The longest pause after the first conflict; it doubles with each one.
const FIRST_PAUSE: Duration = Duration::from_millis(2);

/// Counts the tries of one decision.
#[derive(Debug, Default)]
pub(crate) struct Attempts(u32);

impl Attempts {
    /// After a conflict, waits a random while (full jitter) and allows another try; hands every other error back.
    pub(crate) async fn again_after(&mut self, error: Error) -> Result<()> {
        self.0 += 1;
        if !matches!(error, Error::Conflict { .. }) || self.0 >= TRIES {
            return Err(error);
        }
        let longest = FIRST_PAUSE * 2_u32.pow(self.0 - 1);
        tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
        Ok(())
    }
}
