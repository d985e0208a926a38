//! What is known of a relay's stream.

use std::sync::PoisonError;

use es_core::Error;

use super::{Inner, Work, session::connection_of};

/// What a [`Relay`](super::Relay) knows of its stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayStatus {
    /// The stream's name.
    pub stream: String,
    /// The last position that the stream has acknowledged in this session; 0 while there is none.
    pub acknowledged: u64,
    /// Messages published and not acknowledged yet.
    pub outstanding: usize,
    /// Why the last page was not published, until one is: the server may be away, or the relay stopped.
    pub problem: Option<String>,
}

impl Inner {
    pub(super) fn note(&self, work: &Work, problem: Option<&Error>) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let connected = connection_of(self.nats.client());
        status.problem = problem.or(connected.as_ref().err()).map(ToString::to_string);
        let session = work.session.as_ref();
        status.acknowledged = session.map_or(0, |session| session.acked());
        status.outstanding = session.map_or(0, |session| session.outstanding());
    }
}
