//! What a restore does to a log, and to whoever has followed it.

use crate::{Error, EventLog, Result, StoreIdentity, checkpoints::Checkpoint};

/// A stretch of a store's life that a restore began. What the store had recorded after `began_after` before that is no
/// longer in its log: other events have these positions now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Its number, as in [`StoreIdentity::epoch`]. No two restores have the same.
    pub number: u64,
    /// The position of the log's last event when it began.
    pub began_after: u64,
}

impl Checkpoint {
    /// Which store and epoch this is a checkpoint of from now on: those of the log, if the log still has all that was
    /// seen. Whoever moves it writes them down with the new position.
    ///
    /// Ask after the page was read, not before: a log elsewhere may hear of a restore at any time.
    ///
    /// # Errors
    /// [`StoreIdentityChanged`](Error::StoreIdentityChanged) when it is of another store,
    /// [`StoreRestored`](Error::StoreRestored) when it lies beyond the state to which the store was restored since, and
    /// [`EpochUnknown`](Error::EpochUnknown) when this is an older copy of the store, or was restored another time.
    pub fn follow(&self, name: &str, log: &dyn EventLog) -> Result<StoreIdentity> {
        let present = log.identity();
        if self.store.id != present.id {
            let (expected, actual) = (self.store.id.to_string(), present.id.to_string());
            return Err(Error::StoreIdentityChanged { name: name.to_owned(), expected, actual });
        }
        let is_gone = |restored_to: &u64| self.position > *restored_to;
        let Some(restored_to) = self.restored_to(log).filter(is_gone) else { return Ok(present) };
        let (name, checkpoint, epoch) = (name.to_owned(), self.position, self.store.epoch);
        Err(match restored_to_after(&log.epochs(), epoch) {
            Some(_) => Error::StoreRestored { name, checkpoint, restored_to },
            None => Error::EpochUnknown { name, epoch, present: present.epoch },
        })
    }

    /// The position to which the store was restored since this was last moved, if it was: what the log had after it is
    /// gone. 0 where the log knows nothing of the epoch.
    pub fn restored_to(&self, log: &dyn EventLog) -> Option<u64> {
        let was_restored = self.store.epoch != log.identity().epoch;
        was_restored.then(|| restored_to_after(&log.epochs(), self.store.epoch).unwrap_or_default())
    }
}

/// Up to where a log has what was recorded until the end of an epoch; none where it knows nothing of that epoch.
fn restored_to_after(epochs: &[Epoch], epoch: u64) -> Option<u64> {
    let is_known = epoch == 0 || epochs.iter().any(|known| known.number == epoch);
    epochs.iter().filter(|later| is_known && later.number > epoch).map(|later| later.began_after).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_there_up_to_where_the_next_epoch_began() {
        let epoch = |number, began_after| Epoch { number, began_after };
        let epochs = [epoch(10, 5), epoch(20, 9)];
        assert_eq!(restored_to_after(&epochs, 0), Some(5));
        assert_eq!(restored_to_after(&epochs, 10), Some(9));
        assert_eq!(restored_to_after(&epochs, 15), None, "another restore of the same backup");
        assert_eq!(restored_to_after(&epochs, 30), None, "a newer file than this");
        assert_eq!(restored_to_after(&epochs, 20), None, "nothing came after the present one");
        assert_eq!(restored_to_after(&[], 0), None, "a log that tells nothing of its past");
    }
}
