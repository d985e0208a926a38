//! What is known of the connection's state: told by the client below, asked by everyone who waits for it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{ClientError, ConnectErrorKind, Event, ServerError};
use es_core::{Error, Result};
use tokio::sync::{
    broadcast::{
        self,
        error::{RecvError, TryRecvError},
    },
    watch,
};

const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Between attempts once a server has refused us: someone has to change something first.
const PAUSE_WHEN_REFUSED: Duration = Duration::from_secs(60);

/// The state of a connection, shared by all who use it.
#[derive(Debug)]
pub(crate) struct Link {
    /// How often a connection was made. Moves when what was under way may be lost.
    connects: watch::Sender<u64>,
    /// Whether the server refuses us now.
    refused: AtomicBool,
    /// What the server complains about.
    complaints: broadcast::Sender<Arc<str>>,
    /// What our inboxes begin with.
    inbox: String,
    /// Why no answer reaches us, if none does.
    unreachable: watch::Sender<Option<String>>,
}

/// What a user may not, as an error.
#[derive(Debug)]
pub(crate) enum Forbidden {
    /// The call was not carried out.
    Call(Error),
    /// It may have been, and its answer does not reach us.
    Answer(Error),
}

impl Link {
    pub(crate) fn new(inbox: &str) -> Self {
        Self {
            connects: watch::Sender::new(0),
            refused: AtomicBool::new(false),
            complaints: broadcast::Sender::new(64),
            inbox: format!("Subscription to \"{inbox}."),
            unreachable: watch::Sender::new(None),
        }
    }

    /// Takes in what the client below tells.
    pub(crate) fn note(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.refused.store(false, Ordering::Release);
                self.unreachable.send_replace(None);
                self.connects.send_modify(|connects| *connects += 1);
            }
            Event::Disconnected => tracing::warn!("the connection to NATS is lost; trying to make a new one"),
            Event::ClientError(ClientError::Other(what)) if is_refusal(what) => {
                tracing::error!(%what, "the NATS server refuses us; trying again in {PAUSE_WHEN_REFUSED:?}");
                self.refused.store(true, Ordering::Release);
                self.connects.send_modify(|_| {});
            }
            Event::ServerError(ServerError::Other(complaint)) => {
                tracing::warn!(%complaint, "the NATS server complains");
                if is_forbidden(complaint) && complaint.contains(&self.inbox) {
                    self.unreachable.send_replace(Some(format!(
                        "no answer reaches this user: the server says: {complaint}; give inbox_prefix() the user's own \
                         inbox, or this user that permission"
                    )));
                }
                // No one may be listening.
                let _ = self.complaints.send(complaint.as_str().into());
            }
            Event::SlowConsumer(_) => {
                tracing::error!("messages were dropped: they came faster than they were taken");
            }
            _ => {}
        }
    }

    /// The pause before an attempt to connect again, the first being 1: at random, so that a thousand clients of a
    /// restarted server do not come back at once.
    pub(crate) fn pause(&self, attempt: usize) -> Duration {
        if self.refused.load(Ordering::Acquire) {
            return PAUSE_WHEN_REFUSED.mul_f64(0.75 + fastrand::f64() / 2.0);
        }
        if attempt <= 1 && *self.connects.borrow() == 0 {
            return Duration::ZERO;
        }
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = Duration::from_millis(50).saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_PAUSE);
        longest.mul_f64(fastrand::f64())
    }

    /// Tells each time a connection is made, or refused.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.connects.subscribe()
    }

    /// What the server complains about from now on, for instance that we lack a permission.
    pub(crate) fn complaints(&self) -> broadcast::Receiver<Arc<str>> {
        self.complaints.subscribe()
    }

    /// Awaits what is asked of the server. Where that is forbidden, there is no answer: what fails as unavailable therefore
    /// says what the server has forbidden meanwhile.
    pub(crate) async fn explained<T>(&self, asking: impl Future<Output = Result<T>>) -> Result<T> {
        let mut complaints = self.complaints();
        match asking.await {
            Err(Error::Unavailable { why }) => {
                let mut forbidden = BTreeSet::new();
                loop {
                    match complaints.try_recv() {
                        Ok(complaint) if is_forbidden(&complaint) => _ = forbidden.insert(complaint),
                        Ok(_) | Err(TryRecvError::Lagged(_)) => {}
                        Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                    }
                }
                let told: Vec<_> = forbidden.iter().map(|complaint| remedy(complaint)).collect();
                let why = [&[why][..], &told].concat().join("; ");
                Err(Error::Unavailable { why })
            }
            answered => answered,
        }
    }

    /// Waits until the server forbids a call on this subject, or its answer.
    pub(crate) async fn forbidden(&self, complaints: &mut broadcast::Receiver<Arc<str>>, subject: &str) -> Forbidden {
        loop {
            match complaints.recv().await {
                Ok(complaint) if is_forbidden(&complaint) => {
                    if complaint.contains(&format!("Publish to \"{subject}\"")) {
                        return Forbidden::Call(refused(remedy(&complaint)));
                    }
                    if let Some(why) = &*self.unreachable.borrow() {
                        return Forbidden::Answer(refused(why.clone()));
                    }
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// # Errors
    /// [`Refused`](Error::Refused) when no answer would reach us, or while the server does not take us in.
    pub(crate) fn check(&self) -> Result<()> {
        if self.refused.load(Ordering::Acquire) {
            let why = "authorization violation; the credentials expired or were revoked: renew them";
            return Err(refused(why.into()));
        }
        match &*self.unreachable.borrow() {
            Some(why) => Err(refused(why.clone())),
            None => Ok(()),
        }
    }
}

fn refused(why: String) -> Error {
    Error::Refused { by: "the NATS server".into(), why }
}

fn is_forbidden(complaint: &str) -> bool {
    complaint.to_ascii_lowercase().contains("permissions violation")
}

fn remedy(complaint: &str) -> String {
    format!("the server says: {complaint}; give this user that permission")
}

/// Whether this is what the client below says when the server does not know us, or we can't sign.
fn is_refusal(what: &str) -> bool {
    [ConnectErrorKind::AuthorizationViolation, ConnectErrorKind::Authentication]
        .iter()
        .any(|kind| what == kind.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ() {
        let link = Link::new("_INBOX");
        assert_eq!(link.pause(1), Duration::ZERO);
        link.note(&Event::Connected);
        assert!((0..100).all(|_| link.pause(1) <= Duration::from_millis(50)));
        assert!((0..100).all(|_| link.pause(1_000) <= LONGEST_PAUSE));
        assert!((0..100).any(|_| link.pause(1_000) > LONGEST_PAUSE / 2));
    }

    #[test]
    fn a_forbidden_inbox_stands_until_a_connection_is_made() {
        let link = Link::new("_INBOX_web");
        let forbidden = |subject: &str| {
            Event::ServerError(ServerError::Other(format!("Permissions Violation for Subscription to \"{subject}\"")))
        };
        link.note(&forbidden("_INBOX_webber.x.*"));
        link.check().unwrap();
        link.note(&forbidden("_INBOX_web.x.*"));
        assert!(link.check().unwrap_err().to_string().contains("no answer reaches this user"));
        link.note(&Event::Connected);
        link.check().unwrap();
    }

    #[test]
    fn a_refusal_stands_until_a_connection_is_made() {
        let link = Link::new("_INBOX");
        let refusal = ClientError::Other(ConnectErrorKind::AuthorizationViolation.to_string());
        link.note(&Event::ClientError(refusal));
        assert!(link.check().unwrap_err().to_string().contains("authorization violation"));
        assert!(link.pause(1) >= PAUSE_WHEN_REFUSED / 2);
        link.note(&Event::Connected);
        link.check().unwrap();
    }
}
