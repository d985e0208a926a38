//! What is known of the connection's state: told by the client below, asked by everyone who waits for it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_nats::{ConnectErrorKind, Event, Server, ServerError};
use es_core::{Error, Result};
use tokio::sync::{
    broadcast::{self, error::TryRecvError},
    watch,
};

/// Complaints kept for those who look at them a moment later.
const KEPT: usize = 64;

const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// After a server has refused us, doubled each time: someone has to change something first.
const PAUSE_WHEN_REFUSED: Duration = Duration::from_secs(1);
const LONGEST_PAUSE_WHEN_REFUSED: Duration = Duration::from_secs(60);

/// The state of a connection, shared by all who use it.
#[derive(Debug)]
pub(crate) struct Link {
    /// How often a connection was made, and how often the server has complained.
    told: watch::Sender<Told>,
    /// How often the servers have refused us since there was a connection.
    refusals: AtomicU32,
    /// Why, the last time.
    refusal: Mutex<String>,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// How often it was made. Where it has moved, what was under way may be lost.
    pub(crate) connects: u64,
    /// How often the server has complained.
    complaints: u64,
    /// Whether calls are of no use until there is another connection: [`check`](Link::check) says why.
    pub(crate) is_blocked: bool,
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
            refusals: AtomicU32::new(0),
            refusal: Mutex::default(),
            complaints: broadcast::Sender::new(KEPT),
            recent: Mutex::default(),
            inbox: format!("Subscription to \"{inbox}."),
            unreachable: watch::Sender::new(None),
        }
    }

    /// Takes in what the client below tells.
    pub(crate) fn note(&self, event: &Event) {
        match event {
            Event::Connected => self.connected(),
            Event::Disconnected => tracing::warn!("the connection to NATS is lost; trying to make a new one"),
            Event::ServerError(ServerError::Other(complaint)) => {
                tracing::warn!(%complaint, "the NATS server complains");
                if is_forbidden(complaint) && complaint.contains(&self.inbox) {
                    self.unreachable.send_replace(Some(format!(
                        "no answer reaches this user: the server says: {complaint}; give inbox_prefix() the user's own \
                         inbox, or this user that permission"
                    )));
                    self.told.send_modify(|told| told.is_blocked = true);
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

    /// Takes in that there is a connection, which is another one than before.
    pub(crate) fn connected(&self) {
        self.refusals.store(0, Ordering::Release);
        self.unreachable.send_replace(None);
        self.told.send_modify(|told| {
            told.connects += 1;
            told.is_blocked = false;
        });
    }

    /// Takes in what became of the attempts to connect, before the next one. The client below calls most failures an
    /// "IO error", and tells what they were only here.
    pub(crate) fn note_failures(&self, servers: &[Server]) {
        let failures: Vec<_> = servers.iter().filter_map(|server| server.last_error.as_deref()).collect();
        // One that has not been tried may take us in. One that was refused before may be down now.
        if failures.len() == servers.len()
            && let Some(why) = failures.into_iter().find_map(refusal)
        {
            self.refuse(why);
        }
    }

    /// Takes in that no server takes us in; the pause before the next attempt.
    pub(crate) fn refuse(&self, why: String) -> Duration {
        tracing::error!(%why, "the NATS server refuses us");
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = why;
        let before = self.refusals.fetch_add(1, Ordering::AcqRel);
        self.told.send_modify(|told| told.is_blocked = true);
        pause_when_refused(before + 1)
    }

    /// The pause before an attempt to connect again, the first being 1: at random, so that a thousand clients of a
    /// restarted server do not come back at once.
    pub(crate) fn pause(&self, attempt: usize) -> Duration {
        let refusals = self.refusals.load(Ordering::Acquire);
        if refusals > 0 {
            return pause_when_refused(refusals);
        }
        if attempt <= 1 && self.told.borrow().connects == 0 {
            return Duration::ZERO;
        }
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = Duration::from_millis(50).saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_PAUSE);
        longest.mul_f64(fastrand::f64())
    }

    /// What has happened so far.
    pub(crate) fn told(&self) -> Told {
        *self.told.borrow()
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
        if self.refusals.load(Ordering::Acquire) > 0 {
            return Err(refused(self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()));
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

pub(crate) fn is_forbidden(complaint: &str) -> bool {
    complaint.to_ascii_lowercase().contains("permissions violation")
}

/// The complaint, and what to do about it.
pub(crate) fn remedy(complaint: &str) -> String {
    format!("the server says: {complaint}; give this user that permission")
}

fn pause_when_refused(refusals: u32) -> Duration {
    let pause = PAUSE_WHEN_REFUSED.saturating_mul(2_u32.saturating_pow(refusals.saturating_sub(1)));
    pause.min(LONGEST_PAUSE_WHEN_REFUSED).mul_f64(0.75 + fastrand::f64() / 2.0)
}

/// What the client below says of a server that does not take us in, or that we can't trust, as a reason; `None` for other
/// failures.
fn refusal(failure: &str) -> Option<String> {
    let is = |kind: ConnectErrorKind| failure.starts_with(&kind.to_string());
    if is(ConnectErrorKind::AuthorizationViolation) {
        return Some("authorization violation; the credentials expired or were revoked: renew them".into());
    }
    if is(ConnectErrorKind::Authentication) {
        return Some(format!("{failure}; check the credentials: we can't sign with them"));
    }
    let tls = |words: &str| failure.find(words).map(|at| &failure[at..]);
    if let Some(alert) = tls("received fatal alert: ") {
        return Some(format!("TLS: {alert}; check client_certificate(): it may have expired, or no longer be trusted"));
    }
    let why = tls("invalid peer certificate: ")?;
    Some(format!("TLS: {why}; check the server's certificate, its name in the URL, and tls_roots()"))
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
    fn a_refusal_stands_until_a_connection_is_made_and_is_asked_about_less_and_less_often() {
        let link = Link::new("_INBOX");
        for refusals in 1..20 {
            let pause = link.refuse("no".into());
            let longest = PAUSE_WHEN_REFUSED.saturating_mul(1 << (refusals - 1)).min(LONGEST_PAUSE_WHEN_REFUSED);
            for pause in [pause, link.pause(1)] {
                assert!((longest * 3 / 4..=longest * 5 / 4).contains(&pause), "{pause:?} after {refusals}");
            }
        }
        assert_eq!(link.check().unwrap_err().to_string(), "refused by the NATS server: no");
        link.note(&Event::Connected);
        link.check().unwrap();
        assert!(link.pause(1) < PAUSE_WHEN_REFUSED / 2);
    }

    #[test]
    fn what_someone_has_to_change_is_told_from_what_passes() {
        for (failure, words) in [
            ("authorization violation: no", "renew them"),
            ("failed signing nonce: no file", "no file; check the credentials"),
            (
                "IO error: received fatal alert: CertificateExpired",
                "TLS: received fatal alert: CertificateExpired; check",
            ),
            ("TLS error: invalid peer certificate: Expired", "tls_roots()"),
        ] {
            assert!(refusal(failure).is_some_and(|why| why.contains(words)), "{failure}");
        }
        for failure in ["IO error: connection refused", "timed out", "DNS error", ""] {
            assert_eq!(refusal(failure), None, "{failure}");
        }
    }
}
