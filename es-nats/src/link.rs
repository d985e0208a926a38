//! What is known of the connection's state: told by the client below, asked by everyone who waits for it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{ClientError, ConnectErrorKind, Event, ServerError};
use es_core::{Error, Result};
use tokio::sync::{
    broadcast::{self, error::TryRecvError},
    watch,
};

/// Complaints kept for those who look at them a moment later.
const KEPT: usize = 64;

const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Between attempts once a server has refused us: someone has to change something first.
const PAUSE_WHEN_REFUSED: Duration = Duration::from_secs(60);

/// The state of a connection, shared by all who use it.
#[derive(Debug)]
pub(crate) struct Link {
    /// How often a connection was made, and how often the server has complained.
    told: watch::Sender<Told>,
    /// Whether the server refuses us now.
    refused: AtomicBool,
    /// What the server complains about.
    complaints: broadcast::Sender<Arc<str>>,
    /// The last complaints.
    recent: Mutex<VecDeque<Arc<str>>>,
    /// What our inboxes begin with.
    inbox: String,
    /// Why no answer reaches us, if none does.
    unreachable: watch::Sender<Option<String>>,
}

/// What has happened to a connection so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    /// How often it was made. Where it has moved, what was under way may be lost.
    pub(crate) connects: u64,
    /// How often the server has complained.
    complaints: u64,
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
            told: watch::Sender::default(),
            refused: AtomicBool::new(false),
            complaints: broadcast::Sender::new(KEPT),
            recent: Mutex::default(),
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
                self.told.send_modify(|told| told.connects += 1);
            }
            Event::Disconnected => tracing::warn!("the connection to NATS is lost; trying to make a new one"),
            Event::ClientError(ClientError::Other(what)) if is_refusal(what) => {
                tracing::error!(%what, "the NATS server refuses us; trying again in {PAUSE_WHEN_REFUSED:?}");
                self.refused.store(true, Ordering::Release);
                self.told.send_modify(|_| {});
            }
            Event::ServerError(ServerError::Other(complaint)) => {
                tracing::warn!(%complaint, "the NATS server complains");
                if is_forbidden(complaint) && complaint.contains(&self.inbox) {
                    self.unreachable.send_replace(Some(format!(
                        "no answer reaches this user: the server says: {complaint}; give inbox_prefix() the user's own \
                         inbox, or this user that permission"
                    )));
                }
                let complaint: Arc<str> = complaint.as_str().into();
                let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
                if recent.len() == KEPT {
                    recent.pop_front();
                }
                recent.push_back(complaint.clone());
                self.told.send_modify(|told| told.complaints += 1);
                // No one may be listening.
                let _ = self.complaints.send(complaint);
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
        if attempt <= 1 && self.told.borrow().connects == 0 {
            return Duration::ZERO;
        }
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = Duration::from_millis(50).saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_PAUSE);
        longest.mul_f64(fastrand::f64())
    }

    /// Tells each time a connection is made or refused, and each time the server complains.
    pub(crate) fn watch(&self) -> watch::Receiver<Told> {
        self.told.subscribe()
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

    /// Whether the server has forbidden a call on this subject, or its answer, since then.
    pub(crate) fn forbidden(&self, since: Told, subject: &str) -> Option<Forbidden> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let news = self.told.borrow().complaints - since.complaints;
        let news = recent.len() - recent.len().min(usize::try_from(news).unwrap_or(KEPT));
        for complaint in recent.range(news..).filter(|complaint| is_forbidden(complaint)) {
            if complaint.contains(&format!("Publish to \"{subject}\"")) {
                return Some(Forbidden::Call(refused(remedy(complaint))));
            }
            if let Some(why) = &*self.unreachable.borrow() {
                return Some(Forbidden::Answer(refused(why.clone())));
            }
        }
        None
    }

    /// Waits until the server forbids a call on this subject, or its answer.
    pub(crate) async fn until_forbidden(&self, subject: &str) -> Forbidden {
        let mut told = self.watch();
        let since = *told.borrow_and_update();
        // It lives as long as this.
        while told.changed().await.is_ok() {
            if let Some(forbidden) = self.forbidden(since, subject) {
                return forbidden;
            }
        }
        std::future::pending().await
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
