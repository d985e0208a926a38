//! Making a running projection again.

use super::{Running, running::Runs};
use crate::{Error, Rebuild, Rebuilding, Result, guard::guard};

impl Running {
    /// Makes a projection again from all events, beside the present one, which stays in use and up to date meanwhile;
    /// its status shows how far that is. Returns the checkpoint of the new one. Dropping the future leaves the present
    /// one as it is.
    ///
    /// A projection that has stopped goes on when it was made again.
    ///
    /// ```
    /// # use es_core::{Rebuild, Result, Running};
    /// # async fn example(running: Running, balances: impl Rebuild) -> Result<()> {
    /// running.rebuild(&balances).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`UnknownProjection`](Error::UnknownProjection), [`RebuildUnderWay`](Error::RebuildUnderWay) while it is being made
    /// again already, and as [`Rebuild::rebuild`].
    pub async fn rebuild(&self, projection: &impl Rebuild) -> Result<u64> {
        let runs = self.runs(projection.name())?;
        if !runs.board.begin_rebuild() {
            return Err(Error::RebuildUnderWay { name: projection.name().to_owned() });
        }
        let shown = Shown(runs);
        let report = |progress: &Rebuilding| runs.board.rebuilding(Some(*progress));
        let made = guard(projection.rebuild(&report)).await?;
        if made.is_ok() {
            runs.board.resume(false);
        }
        drop(shown);
        made
    }
}

/// Takes the rebuild off the status when it is over, however it ends.
struct Shown<'r>(&'r Runs);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.0.board.rebuilding(None);
    }
}
