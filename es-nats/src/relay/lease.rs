//! One active relay for each store and stream; and how far it has been, where a crash does not touch it.

use std::time::{Duration, Instant};

use es_core::{
    Error, EventLog, Result,
    checkpoints::{Checkpoint, Claimed, Held},
};

use super::{Inner, Work};

/// The checkpoint is written at most this often: each time costs the store a commit.
const EVERY: Duration = Duration::from_secs(1);
/// Unless so many events were published since: that is worth a commit at once.
const BURST: u64 = 100;

impl Inner {
    /// Makes sure the lease is ours. When it is someone else's, their checkpoint.
    pub(super) async fn hold(&self, work: &mut Work, store: &dyn EventLog) -> Result<Option<Checkpoint>> {
        let fresh = |held: &Held| held.at.leased_until.since(store.now()) > self.lease / 2;
        if work.held.as_ref().is_some_and(fresh) {
            return Ok(None);
        }
        let stored = self.checkpoint().await?;
        let followed = stored.follow(&self.name, &*self.store)?;
        if stored.leased && stored.owner.is_some_and(|owner| owner != self.owner) {
            work.stop();
            return Ok(Some(stored));
        }
        match self.checkpoints.claim(&self.name, 0, self.owner, self.lease).await? {
            Claimed::Held(mut held) => {
                held.at.store = followed;
                if work.held.as_ref().is_some_and(|before| before.at.generation != held.at.generation) {
                    // Someone else had it meanwhile, and has published.
                    work.stop();
                }
                work.held = Some(held);
                Ok(None)
            }
            Claimed::Taken(theirs) => {
                work.stop();
                Ok(Some(theirs))
            }
        }
    }

    pub(super) async fn checkpoint(&self) -> Result<Checkpoint> {
        let stored = self.checkpoints.checkpoints(&self.name).await?;
        let missing = || Error::Corrupt { what: format!("checkpoint of `{}`", self.name), why: "it is missing".into() };
        stored.into_iter().next().ok_or_else(missing)
    }

    /// Writes down how far the stream is, now and then; where it is not, `now` says so.
    pub(super) async fn remember(&self, work: &mut Work, now: bool) -> Result<()> {
        let (Some(held), Some(session)) = (&work.held, &work.session) else { return Ok(()) };
        let (before, acked) = (held.at.position, session.acked());
        let first = before == 0 || acked < before;
        let burst = session.outstanding() == 0 && acked >= before + BURST;
        let due = now || first || burst || work.written.is_none_or(|at| at.elapsed() >= EVERY);
        if acked == before || !due {
            return Ok(());
        }
        work.held = Some(self.checkpoints.advance(held, acked, None).await?);
        work.written = Some(Instant::now());
        Ok(())
    }
}
