//! Waiting until a projection has handled what a command stored.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::time::timeout;

use super::Running;
use crate::{Error, Receipt, Result};

impl Running {
    /// Waits until a projection has handled what a command stored. Does not change the command's outcome.
    ///
    /// # Errors
    /// [`UnknownProjection`](Error::UnknownProjection), [`NotCaughtUp`](Error::NotCaughtUp) when the time is up, or
    /// [`ProjectionFaulted`](Error::ProjectionFaulted) when it has stopped at an error.
    pub async fn wait_for(&self, name: &str, receipt: &Receipt) -> Result<()> {
        self.wait_for_position(name, receipt.position, self.wait).await
    }

    /// Waits until every projection and reactor that runs here has handled what a command stored.
    ///
    /// # Errors
    /// As [`wait_for`](Self::wait_for), for one that has not.
    pub async fn wait_for_all(&self, receipt: &Receipt) -> Result<()> {
        let each = self.names().map(|name| self.wait_for_position(name, receipt.position, self.wait));
        try_join_all(each).await.map(drop)
    }

    /// Waits until a projection has handled the log up to a position.
    ///
    /// # Errors
    /// As [`wait_for`](Self::wait_for).
    pub async fn wait_for_position(&self, name: &str, position: u64, at_most: Duration) -> Result<()> {
        let mut notes = self.runs(name)?.board.notes();
        let begun = Instant::now();
        let there =
            notes.wait_for(|notes| notes.checkpoint() >= position || notes.fault().is_some() || notes.alive == 0);
        let reached = timeout(at_most, there).await.map(|notes| {
            let notes = notes.map_err(|_| Error::ShuttingDown)?;
            Ok::<_, Error>((notes.checkpoint(), notes.fault().cloned()))
        });
        match reached {
            Ok(Ok((checkpoint, _))) if checkpoint >= position => Ok(()),
            Ok(Ok((checkpoint, Some(error)))) => {
                let position = match *error {
                    Error::ProjectionFaulted { position, .. } => position,
                    _ => checkpoint,
                };
                Err(Error::ProjectionFaulted { name: name.to_owned(), position, source: Box::new(error) })
            }
            Ok(_) => Err(Error::ShuttingDown),
            Err(_) => {
                let checkpoint = notes.borrow().checkpoint();
                Err(Error::NotCaughtUp { name: name.to_owned(), checkpoint, position, waited: begun.elapsed() })
            }
        }
    }
}
