//! What is known of a relay's stream.

use std::sync::PoisonError;

use es_core::{Error, Progress, Result};

use super::{Inner, Work};

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
    /// Why readers can't get from the store what the stream lacks, if they can't: the relay's user may not listen to
    /// their requests, which the server says when a connection is made, or the stream is not known for a copy of the
    /// store.
    pub endpoint_problem: Option<String>,
}

impl Inner {
    pub(super) fn note(&self, work: &Work, advanced: &Result<Progress>) {
        let session = work.session.as_ref();
        match advanced {
            Err(error @ Error::Diverged { .. }) => self.endpoint.close(error.to_string()),
            // Compared by this relay, or by the one that has the lease.
            Ok(progress) if session.is_some() || progress.standby => self.endpoint.open(),
            _ => {}
        }
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let connected = self.nats.link().check().and_then(|()| self.nats.connection().connects());
        status.problem = advanced.as_ref().err().or(connected.as_ref().err()).map(ToString::to_string);
        status.acknowledged = session.map_or(0, |session| session.acked());
        status.outstanding = session.map_or(0, |session| session.outstanding());
    }
}
