//! One decision on one aggregate, until it is stored: its turn, the state it is made on, its tries.

use crate::{
    Aggregate, Applier, Error, Expected, Repository, Result, Root, StreamKey,
    hot_roots::{Hot, Turn},
    load,
    retry::Attempts,
};

/// A decision under way. While it lives, no other decision of this program on the same aggregate begins.
#[derive(Debug)]
pub(crate) struct Decision<'r, A: Aggregate> {
    repository: &'r Repository<A>,
    stream: StreamKey,
    creates: bool,
    turn: Option<Turn<A>>,
    /// Whether it is made on a state kept in memory, which others may have moved on from.
    hot: bool,
    attempts: Attempts,
}

impl<'r, A: Applier> Decision<'r, A> {
    /// A decision on an aggregate, or on a new one.
    pub(crate) fn new(repository: &'r Repository<A>, stream: StreamKey, creates: bool) -> Self {
        Self { repository, stream, creates, turn: None, hot: false, attempts: Attempts::default() }
    }

    pub(crate) fn stream(&self) -> &StreamKey {
        &self.stream
    }

    /// Gets the aggregate: waits for its turn, then takes the state from memory or from the store.
    pub(crate) async fn begin(&mut self) -> Result<Root<A>> {
        let turn = match &mut self.turn {
            Some(turn) => turn,
            None => self.turn.insert(self.repository.turn(&self.stream).await),
        };
        let kept = turn.take().filter(|_| !self.creates);
        self.hot = kept.is_some();
        match kept {
            Some(Hot { state, version }) => Ok(Root::at(self.stream.clone(), state, version)),
            None if self.creates => Ok(Root::created(self.stream.clone())),
            None => load::load(&**self.repository.store(), self.stream.clone()).await,
        }
    }

    /// Before an answer that stores nothing: a conflict, if it was decided on a state that others have moved on from.
    pub(crate) async fn check(&self, root: &Root<A>) -> Result<()> {
        if !self.hot {
            return Ok(());
        }
        let expected = Expected::Exact(root.committed_version());
        match self.repository.store().version(&self.stream).await? {
            actual if expected.admits(actual) => Ok(()),
            actual => Err(Error::Conflict { stream: self.stream.clone(), expected: expected.to_string(), actual }),
        }
    }

    /// Keeps a state that is in the store, for the next decision.
    pub(crate) fn keep(&mut self, root: Root<A>) {
        let version = root.version();
        if let Some(turn) = &mut self.turn {
            turn.keep(root.into_state(), version);
        }
    }

    /// After a conflict, allows another try; hands every other error back.
    pub(crate) async fn again_after(&mut self, error: Error) -> Result<()> {
        self.attempts.again_after(error).await
    }
}
