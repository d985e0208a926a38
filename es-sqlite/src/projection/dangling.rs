//! Deferred foreign keys that refer to nothing. They show at COMMIT, which does not say whose they are.

use std::sync::Arc;

use es_core::Error;

use super::{
    Inner,
    page::{Batch, Care},
};
use crate::errors;

/// Whether a transaction could not be committed because a foreign key refers to nothing.
pub(super) fn is_dangling(error: &Error) -> bool {
    match error {
        Error::Database { source, .. } => source.downcast_ref().is_some_and(errors::is_foreign_key),
        _ => false,
    }
}

impl Batch {
    /// The first half of its commits; none where there is only one.
    pub(super) fn first_half(&self) -> Option<Self> {
        let events = &self.events[..self.count];
        let commit_of = |at: usize| events.get(at).map(|event| event.meta.commit_first);
        let second = events.partition_point(|event| Some(event.meta.commit_first) == commit_of(0));
        let middle = commit_of(self.count / 2).filter(|first| Some(*first) != commit_of(0)).or(commit_of(second))?;
        let count = events.partition_point(|event| event.meta.position < middle);
        Some(Self { count, to: middle - 1, pass: false, ..self.clone() })
    }
}

impl Inner {
    /// The error of the event that is to blame: the last one of a commit that left a foreign key behind which refers to
    /// nothing. Each is looked at with all that came before it, and nothing of that is kept.
    pub(super) async fn blame(self: &Arc<Self>, batch: &Batch, care: Option<Care>, error: Error) -> Error {
        let (inner, batch) = (Arc::clone(self), batch.clone());
        let Error::Database { source, .. } = error else { return error };
        let mut source = Some(source);
        let tried = self.target.write(move |connection, guard| {
            let at = |error| inner.target.place().error("looking for a foreign key that refers to nothing", error);
            let events = &batch.events[..batch.count];
            let mut position = events.last().map_or(batch.to, |event| event.meta.position);
            let mut dangling = 0;
            for event in events {
                inner.run_events(connection, guard, std::slice::from_ref(event), care.as_ref())?;
                let now: u64 = connection
                    .query_row("SELECT count(*) FROM pragma_foreign_key_check", (), |row| row.get(0))
                    .map_err(at)?;
                if now > dangling {
                    position = event.meta.position;
                }
                dangling = now;
            }
            let source = source.take().unwrap_or_else(|| "a foreign key refers to nothing".into());
            Err::<(), _>(Error::ProjectionFaulted { name: inner.name.clone(), position, source })
        });
        match tried.await {
            Ok(()) => Error::ShuttingDown,
            Err(error) => error,
        }
    }
}
