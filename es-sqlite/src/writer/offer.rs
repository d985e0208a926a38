//! A snapshot on its way into the file. Nobody waits for it, and it is never the reason that others fail twice.

use es_core::{Error, Snapshot};

use super::batch::{Broken, Transaction, Work};
use crate::snapshots;

pub(crate) struct Offer(pub(crate) Snapshot);

impl Work for Offer {
    fn apply(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Broken> {
        let Transaction { connection, ledger, .. } = transaction;
        let stream = ledger.stream(connection, &self.0.stream).map_err(Broken::by("looking up a stream"))?;
        let Some(stream) = stream else { return Ok(()) };
        snapshots::write(connection, stream.id, stream.version, &self.0).map_err(Broken::by("writing a snapshot"))
    }

    fn answer(self: Box<Self>) {}

    fn fail(self: Box<Self>, error: Error) {
        tracing::debug!(%error, "a snapshot was not kept");
    }
}
