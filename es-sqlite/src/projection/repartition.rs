//! Another number of partitions than the read model was made with so far.

use std::sync::Arc;

use es_core::{Error, EventLog, Progress};

use super::{Inner, checkpoint::Checkpoint};

impl Inner {
    /// One step towards the partitions that were asked for. First the former ones are brought to one position, each by
    /// the former rule, so that nothing is lost or repeated; then, in one transaction, the new ones take their place.
    pub(super) async fn repartition(
        self: &Arc<Self>,
        log: &dyn EventLog,
        former: Vec<Checkpoint>,
    ) -> Result<Progress, Error> {
        let now = self.source.log().now();
        let (Some(last), Some(first)) = (
            former.iter().min_by_key(|checkpoint| checkpoint.position),
            former.iter().max_by_key(|checkpoint| checkpoint.position),
        ) else {
            return Err(self.no_checkpoint());
        };
        if former.iter().any(|checkpoint| self.owner.must_wait(checkpoint, now)) {
            return Ok(Progress::at(last.position).standby());
        }
        if last.position < first.position {
            let count = u32::try_from(former.len()).unwrap_or(u32::MAX);
            let progress = self.next_page(log, last.clone(), count, first.position).await?;
            return Ok(progress.caught_up(false));
        }
        let position = first.position;
        let inner = Arc::clone(self);
        self.target
            .write(move |connection, _| {
                let at = |error| inner.target.place().error("changing the partitions", error);
                if Checkpoint::read(connection, &inner.name).map_err(at)? != former {
                    return Err(Error::CheckpointMoved { name: inner.name.clone(), expected: position });
                }
                inner.registration().put(connection, position).map_err(at)
            })
            .await?;
        tracing::info!(projection = self.name, partitions = self.partitions, position, "the partitions were changed");
        Ok(Progress::at(position))
    }
}
