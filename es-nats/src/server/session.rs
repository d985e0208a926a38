//! A server for as long as one connection lives.

use std::{sync::Arc, time::Duration};

use async_nats::{
    connection::State,
    service::{Service as NatsService, ServiceExt, endpoint::Endpoint},
};
use es_core::{Error, MethodInfo, Result, Route};
use tokio::{
    sync::{broadcast, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    NatsServer,
    endpoint::{self, Rules, Worker},
    gate::Gate,
    membership::Candidate,
};
use crate::Nats;

/// So long the last answers may take to leave. A connection that is lost takes as long as it takes to come back.
const FLUSH: Duration = Duration::from_secs(5);

/// The subscriptions and services of a server over one connection, which is its own: a message that the client below
/// can't read ends the connection it comes over, and no one else should lose theirs by it.
pub(super) struct Session {
    nats: Nats,
    services: Vec<NatsService>,
    endpoints: Vec<(Endpoint, &'static MethodInfo)>,
    subjects: Vec<String>,
    complaints: broadcast::Receiver<Arc<str>>,
}

/// What every session of a server goes on with.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) rules: Arc<Rules>,
    pub(super) gate: Gate,
    pub(super) stop: watch::Receiver<bool>,
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
        let subjects = candidates.iter().flat_map(|candidate| candidate.subjects.clone()).collect();
        let mut session = Self { nats, services: Vec::new(), endpoints: Vec::new(), subjects, complaints };
        for (route, candidate) in routes.iter().zip(&candidates) {
            session.join(server, route, &candidate.name).await?;
        }
        // What is asked after joining is answered after the NATS server has taken in that we joined.
        for candidate in &candidates {
            if let Err(error) = candidate.check_after(&session.nats).await {
                session.leave().await;
                return Err(error);
            }
        }
        while let Ok(complaint) = session.complaints.try_recv() {
            if let Some(why) = session.forbidden(&complaint) {
                session.leave().await;
                return Err(Error::Refused { by: "the NATS server".into(), why });
            }
        }
        Ok(session)
    }

    /// Joins a service: announces it, and subscribes to its subjects.
    async fn join(&mut self, server: &NatsServer, route: &Route, name: &str) -> Result<()> {
        let unavailable =
            |error: async_nats::Error| Error::Unavailable { why: format!("{name} could not join: {error}") };
        let builder = self.nats.client().service_builder().description(route.name()).metadata(server.announcement());
        let started = builder.queue_group(&server.queue_group).start(name, env!("CARGO_PKG_VERSION")).await;
        let service = started.map_err(unavailable)?;
        for method in route.methods() {
            for (index, subject) in server.subjects(method.service, method.name).into_iter().enumerate() {
                let endpoint_name = if index == 0 { method.name.into() } else { format!("{}-{index}", method.name) };
                let metadata = [("input", method.input), ("output", method.output)];
                let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
                let endpoint = service.endpoint_builder().name(endpoint_name).metadata(metadata);
                self.endpoints.push((endpoint.add(subject).await.map_err(unavailable)?, method));
            }
        }
        self.services.push(service);
        Ok(())
    }

    async fn leave(self) {
        for (mut endpoint, _) in self.endpoints {
            // It may be gone already.
            let _ = endpoint.stop().await;
        }
        for service in self.services {
            let _ = service.stop().await;
        }
    }

    /// Answers requests until told to stop (true), or until the connection has ended for good (false). `forbidden` is told
    /// when the NATS server no longer lets us listen.
    pub(super) async fn run(mut self, work: &Work, forbidden: impl Fn(String)) -> bool {
        let mut intake = JoinSet::new();
        for (endpoint, method) in std::mem::take(&mut self.endpoints) {
            let route = method.route().into();
            let (nats, rules, gate) = (self.nats.clone(), work.rules.clone(), work.gate.clone());
            let worker = Arc::new(Worker { nats, method, route, rules, gate });
            intake.spawn(endpoint::run(endpoint, worker, work.stop.clone()));
        }
        let mut stopped = true;
        loop {
            tokio::select! {
                ended = intake.join_next() => match ended {
                    Some(Ok(told)) => stopped &= told,
                    Some(Err(_)) => stopped = false,
                    None => break,
                },
                complaint = self.complaints.recv() => {
                    if let Some(why) = complaint.ok().and_then(|complaint| self.forbidden(&complaint)) {
                        forbidden(why);
                    }
                }
            }
        }
        if !stopped {
            return false;
        }
        work.gate.empty().await;
        for service in self.services {
            let _ = service.stop().await;
        }
        flush(&self.nats.client()).await;
        true
    }

    /// Whether a complaint of the server's is that we may not listen, and what to do about it.
    fn forbidden(&self, complaint: &str) -> Option<String> {
        let lower = complaint.to_ascii_lowercase();
        let concerns = |subject: &String| lower.contains(&format!("\"{}\"", subject.to_ascii_lowercase()));
        let forbidden = lower.contains("permissions violation for subscription") && self.subjects.iter().any(concerns);
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
    Candidate { name: route.name().replace('.', "-"), subjects, store: server.store.clone() }
}
