//! A server that has started.

use std::sync::Arc;

use async_nats::service::{Service as NatsService, ServiceExt, endpoint::Endpoint};
use es_core::{Error, MethodInfo, Result, Route};
use tokio::{
    sync::{broadcast, watch},
    task::JoinHandle,
};

use super::{
    NatsServer,
    endpoint::{self, Rules, Worker},
    gate::Gate,
    membership::Candidate,
};
use crate::Nats;

/// How a server does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServingState {
    /// Requests are answered.
    Serving,
    /// Some or all requests no longer reach it, and will not until it is started anew.
    Failed(String),
    /// It was shut down.
    Stopped,
}

/// A server that answers requests until it is shut down or dropped.
#[derive(Debug)]
#[must_use = "a server that is dropped stops at once"]
pub struct Serving {
    nats: Nats,
    services: Vec<NatsService>,
    intake: Vec<JoinHandle<()>>,
    watching: JoinHandle<()>,
    stop: watch::Sender<bool>,
    state: Arc<watch::Sender<ServingState>>,
    gate: Gate,
}

pub(super) async fn start(server: &NatsServer, routes: &[Route], gate: Gate, rules: Arc<Rules>) -> Result<Serving> {
    let nats = &server.nats;
    let complaints = nats.link().complaints();
    let mut candidates = Vec::new();
    for route in routes {
        let subjects = route.methods().iter().flat_map(|method| server.subjects(method.service, method.name));
        let name = route.name().replace('.', "-");
        candidates.push(Candidate { name, subjects: subjects.collect(), store: server.store.clone() });
    }
    for candidate in &candidates {
        candidate.check_before(nats).await?;
    }
    let mut services = Vec::new();
    let mut endpoints = Vec::new();
    for (route, candidate) in routes.iter().zip(&candidates) {
        let service = join(server, route, &candidate.name, &mut endpoints).await?;
        services.push(service);
    }
    let state = Arc::new(watch::Sender::new(ServingState::Serving));
    let subjects: Vec<_> = candidates.iter().flat_map(|candidate| candidate.subjects.clone()).collect();
    let watching = tokio::spawn(watch_complaints(complaints, subjects, state.clone()));
    // What is asked after joining is answered after the server has taken in that we joined.
    for candidate in &candidates {
        if let Err(error) = candidate.check_after(nats).await {
            watching.abort();
            leave(services, endpoints).await;
            return Err(error);
        }
    }
    if let ServingState::Failed(why) = state.borrow().clone() {
        watching.abort();
        leave(services, endpoints).await;
        return Err(Error::Refused { by: "the NATS server".into(), why });
    }
    let stop = watch::Sender::new(false);
    let intake = endpoints.into_iter().map(|(endpoint, method)| {
        let route: Arc<str> = method.route().into();
        let worker =
            Worker { nats: nats.clone(), method, route: route.clone(), rules: rules.clone(), gate: gate.clone() };
        let (stop, state) = (stop.subscribe(), state.clone());
        tokio::spawn(async move {
            if !endpoint::run(endpoint, worker, stop).await {
                fail(&state, format!("the subscription of {route} has ended: the connection to NATS is gone for good"));
            }
        })
    });
    let intake = intake.collect();
    Ok(Serving { nats: nats.clone(), services, intake, watching, stop, state, gate })
}

/// Joins a service: announces it, and subscribes to its subjects.
async fn join(
    server: &NatsServer,
    route: &Route,
    name: &str,
    endpoints: &mut Vec<(Endpoint, &'static MethodInfo)>,
) -> Result<NatsService> {
    let unavailable = |error: async_nats::Error| Error::Unavailable { why: format!("{name} could not join: {error}") };
    let service = server.nats.client().service_builder();
    let service = service
        .description(route.name())
        .metadata(server.announcement())
        .queue_group(&server.queue_group)
        .start(name, env!("CARGO_PKG_VERSION"))
        .await
        .map_err(unavailable)?;
    for method in route.methods() {
        for (index, subject) in server.subjects(method.service, method.name).into_iter().enumerate() {
            let endpoint_name = if index == 0 { method.name.to_owned() } else { format!("{}-{index}", method.name) };
            let metadata = [("input", method.input), ("output", method.output)];
            let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            let endpoint = service.endpoint_builder().name(endpoint_name).metadata(metadata);
            endpoints.push((endpoint.add(subject).await.map_err(unavailable)?, method));
        }
    }
    Ok(service)
}

async fn leave(services: Vec<NatsService>, endpoints: Vec<(Endpoint, &'static MethodInfo)>) {
    for (mut endpoint, _) in endpoints {
        // It may be gone already.
        let _ = endpoint.stop().await;
    }
    for service in services {
        let _ = service.stop().await;
    }
}

/// Takes note when the server lets us no longer listen.
async fn watch_complaints(
    mut complaints: broadcast::Receiver<Arc<str>>,
    subjects: Vec<String>,
    state: Arc<watch::Sender<ServingState>>,
) {
    loop {
        match complaints.recv().await {
            Ok(complaint) => {
                let lower = complaint.to_ascii_lowercase();
                let concerns = |subject: &String| lower.contains(&format!("\"{}\"", subject.to_ascii_lowercase()));
                if lower.contains("permissions violation for subscription") && subjects.iter().any(concerns) {
                    fail(&state, format!("{complaint}; let this user subscribe to the subjects of its services"));
                }
            }
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

fn fail(state: &watch::Sender<ServingState>, why: String) {
    tracing::error!(%why, "a NATS server no longer serves");
    state.send_if_modified(|state| {
        let first = *state == ServingState::Serving;
        if first {
            *state = ServingState::Failed(why);
        }
        first
    });
}

impl Serving {
    /// How it does.
    pub fn state(&self) -> ServingState {
        self.state.borrow().clone()
    }

    /// Waits until it no longer serves as it should.
    ///
    /// # Errors
    /// [`Unavailable`](Error::Unavailable) with the reason, when it was not shut down.
    pub async fn wait(&self) -> Result<()> {
        let mut state = self.state.subscribe();
        // The sender lives as long as this does.
        let ended = state.wait_for(|state| *state != ServingState::Serving).await;
        match ended.as_deref() {
            Ok(ServingState::Failed(why)) => Err(Error::Unavailable { why: why.clone() }),
            _ => Ok(()),
        }
    }

    /// Stops: takes in no more requests, answers those that have come, and sees the answers on their way.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        for intake in &mut self.intake {
            // It does not panic, and only dropping this aborts it.
            let _ = intake.await;
        }
        self.gate.empty().await;
        for service in self.services.drain(..) {
            let _ = service.stop().await;
        }
        if let Err(error) = self.nats.client().flush().await {
            tracing::warn!(%error, "the last answers may not have been sent");
        }
        self.watching.abort();
        self.state.send_replace(ServingState::Stopped);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.watching.abort();
        for intake in &self.intake {
            intake.abort();
        }
    }
}
