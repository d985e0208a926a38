//! A server for as long as one connection lives.

use std::{sync::Arc, time::Duration};

use async_nats::{Subscriber, connection::State};
use es_core::{Error, Result, Route};
use tokio::{
    sync::{
        broadcast::{self, error::TryRecvError},
        watch,
    },
    task::JoinSet,
    time::timeout,
};

use super::{
    NatsServer,
    discovery::{Description, Discovery},
    endpoint::{Counts, Endpoint},
    gate::Gate,
    membership::{self, Candidate},
    worker::{self, Rules, Worker},
};
use crate::Nats;

/// So long the last answers may take to leave. A connection that is lost takes as long as it takes to come back.
const FLUSH: Duration = Duration::from_secs(5);

/// The subscriptions of a server over one connection, which is its own: a message that the client below can't read ends
/// the connection it comes over, and no one else should lose theirs by it.
pub(super) struct Session {
    nats: Nats,
    candidates: Vec<Candidate>,
    joined: Vec<Joined>,
    discoveries: Vec<Discovery>,
    complaints: broadcast::Receiver<Arc<str>>,
}

/// A subject that requests come to, not answered yet.
struct Joined {
    requests: Subscriber,
    endpoint: Arc<Endpoint>,
    service: Route,
}

/// What every session of a server goes on with.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) rules: Arc<Rules>,
    pub(super) gate: Arc<Gate>,
    pub(super) stop: watch::Receiver<bool>,
}

/// Why a session ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// It was told to.
    Told,
    /// Its connection has ended for good.
    Lost,
    /// It must not go on.
    Refused(Error),
}

impl Session {
    /// Joins those who serve the same, unless they work on another store. No request is answered yet.
    pub(super) async fn open(server: &NatsServer, routes: &[Route]) -> Result<Self> {
        let nats = server.nats.another().await?;
        let complaints = nats.link().complaints();
        let candidates: Vec<_> = routes.iter().map(|route| candidate(server, route)).collect();
        for candidate in &candidates {
            candidate.check_before(&nats).await?;
        }
        let mut session = Self { nats, candidates, joined: Vec::new(), discoveries: Vec::new(), complaints };
        for (at, route) in routes.iter().enumerate() {
            session.join(server, route, at).await.map_err(|error| Error::Unavailable {
                why: format!("{} could not join: {error}", session.candidates[at].name),
            })?;
        }
        // What is asked after joining is answered after the NATS server has taken in that we joined.
        if let Err(error) = session.check_joined().await {
            session.leave().await;
            return Err(error);
        }
        Ok(session)
    }

    /// Joins a service: subscribes to its subjects, and tells of them.
    async fn join(&mut self, server: &NatsServer, route: &Route, at: usize) -> Result<(), async_nats::SubscribeError> {
        let client = self.nats.client();
        let mut endpoints = Vec::new();
        for method in route.methods() {
            for (index, subject) in server.subjects(method.service, method.name).into_iter().enumerate() {
                let name = if index == 0 { method.name.into() } else { format!("{}-{index}", method.name) };
                let queue_group = server.queue_group.clone();
                let requests = client.queue_subscribe(subject.clone(), queue_group.clone()).await?;
                let endpoint = Endpoint { name, subject, queue_group, method, counts: Counts::default() };
                let endpoint = Arc::new(endpoint);
                endpoints.push(Arc::clone(&endpoint));
                self.joined.push(Joined { requests, endpoint, service: route.clone() });
            }
        }
        let name = self.candidates[at].name.clone();
        let metadata = membership::announcement(&server.store);
        let service = Description { name, description: route.name(), metadata, endpoints };
        self.discoveries.push(Discovery::start(&client, service).await?);
        Ok(())
    }

    async fn check_joined(&mut self) -> Result<()> {
        for candidate in &self.candidates {
            candidate.check_after(&self.nats).await?;
        }
        loop {
            match self.complaints.try_recv() {
                Ok(complaint) => {
                    if let Some(why) = self.forbidden(&complaint) {
                        return Err(Error::Refused { by: "the NATS server".into(), why });
                    }
                }
                // The last ones are there.
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Ok(()),
            }
        }
    }

    async fn leave(self) {
        for mut joined in self.joined {
            // It may be gone already.
            let _ = joined.requests.unsubscribe().await;
        }
    }

    /// Answers requests until told to stop, until the connection has ended for good, or until it turns out that others
    /// serve the same from another store. `forbidden` is told when the NATS server no longer lets us listen.
    pub(super) async fn run(mut self, work: &Work, forbidden: impl Fn(String)) -> Ended {
        let mut intake = JoinSet::new();
        for Joined { requests, endpoint, service } in std::mem::take(&mut self.joined) {
            let (client, route) = (self.nats.client().clone(), endpoint.method.route());
            let (rules, gate) = (work.rules.clone(), work.gate.clone());
            let worker = Arc::new(Worker { client, endpoint, service, route, rules, gate });
            intake.spawn(worker::run(requests, worker, work.stop.clone()));
        }
        let mut rivals = std::pin::pin!(membership::until_refused(&self.candidates, &self.nats));
        let mut told = true;
        loop {
            tokio::select! {
                ended = intake.join_next() => match ended {
                    Some(ended) => told &= ended.unwrap_or(false),
                    None => break,
                },
                complaint = self.complaints.recv() => {
                    if let Some(why) = complaint.ok().and_then(|complaint| self.forbidden(&complaint)) {
                        forbidden(why);
                    }
                }
                refusal = &mut rivals, if told => return Ended::Refused(refusal),
            }
        }
        if !told {
            return Ended::Lost;
        }
        work.gate.empty().await;
        drop(self.discoveries);
        flush(&self.nats.client()).await;
        Ended::Told
    }

    /// Whether a complaint of the server's is that we may not listen, and what to do about it.
    fn forbidden(&self, complaint: &str) -> Option<String> {
        let lower = complaint.to_ascii_lowercase();
        let concerns = |subject: &String| lower.contains(&format!("\"{}\"", subject.to_ascii_lowercase()));
        let forbidden = lower.contains("permissions violation for subscription")
            && self.candidates.iter().any(|candidate| candidate.subjects.iter().any(concerns));
        forbidden.then(|| format!("{complaint}; let this user subscribe to the subjects of its services"))
    }
}

/// Sees the last answers on their way, where there is one.
async fn flush(client: &async_nats::Client) {
    let why = match client.connection_state() {
        State::Connected => match timeout(FLUSH, client.flush()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("they did not leave within {FLUSH:?}"),
        },
        _ => "there is no connection to NATS".into(),
    };
    tracing::warn!(why, "the last answers may not have been sent");
}

fn candidate(server: &NatsServer, route: &Route) -> Candidate {
    let subjects = route.methods().iter().flat_map(|method| server.subjects(method.service, method.name)).collect();
    Candidate { name: route.name().replace('.', "-"), subjects, store: server.store }
}
