//! One subject of one method: takes requests in, and answers every one.

use std::{sync::Arc, time::Duration};

use async_nats::service::{Request as Incoming, endpoint::Endpoint};
use es_core::{AppError, Error, LocalTransport, MethodInfo, Response, Result, Status, Tenant, Transport, guard};
use futures_util::StreamExt;
use prost::Message;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{gate::Gate, incoming};
use crate::{Nats, answer};

/// What holds for every request of a server.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) transport: LocalTransport,
    pub(super) deadline: Duration,
    pub(super) tenants: Vec<Tenant>,
    pub(super) trust_tenant_header: bool,
}

/// What requests of one endpoint share.
pub(super) struct Worker {
    pub(super) nats: Nats,
    pub(super) method: &'static MethodInfo,
    pub(super) route: Arc<str>,
    pub(super) rules: Arc<Rules>,
    pub(super) gate: Gate,
}

/// Takes requests in until told to stop, then those that had come already. Says whether it ended because it was told to.
pub(super) async fn run(mut endpoint: Endpoint, worker: Arc<Worker>, mut stop: watch::Receiver<bool>) -> bool {
    let mut stopping = false;
    loop {
        let incoming = tokio::select! {
            biased;
            // It changes once.
            _ = stop.changed(), if !stopping => {
                stopping = true;
                if let Err(error) = endpoint.stop().await {
                    tracing::warn!(%error, route = %worker.route, "could not leave the subject");
                    return true;
                }
                continue;
            }
            incoming = endpoint.next() => incoming,
        };
        match incoming {
            Some(incoming) => worker.take(incoming).await,
            None => return stopping,
        }
    }
}

impl Worker {
    /// Lets a request in and goes on with the next; without a place for it, it is answered at once.
    async fn take(self: &Arc<Self>, incoming: Incoming) {
        match self.gate.enter() {
            Some(place) => {
                let worker = Arc::clone(self);
                tokio::spawn(async move {
                    worker.answer(&incoming).await;
                    drop(place);
                });
            }
            None => self.reply(&incoming, Err(Error::Backpressure { what: "the server" })).await,
        }
    }

    async fn answer(&self, incoming: &Incoming) {
        let after = self.rules.deadline;
        let deadline = Instant::now() + after;
        let answer = match timeout_at(deadline, self.gate.turn()).await {
            Ok(Ok(turn)) => {
                let answer = timeout_at(deadline, guard(self.work(incoming))).await;
                drop(turn);
                answer.unwrap_or(Ok(Err(Error::Timeout { after }))).and_then(|answer| answer)
            }
            Ok(Err(error)) => Err(error),
            // It has not begun.
            Err(_) => Err(Error::Backpressure { what: "the server" }),
        };
        self.reply(incoming, answer).await;
    }

    async fn work(&self, incoming: &Incoming) -> Result<Response> {
        let request = incoming::request(&incoming.message, self.method, &self.route, &self.rules)?;
        self.rules.transport.call(request).await
    }

    async fn reply(&self, incoming: &Incoming, answer: Result<Response>) {
        if let Err(error) = &answer
            && !matches!(error, Error::Rejected(_))
        {
            tracing::warn!(route = %self.route, ?error, "a request was not answered as asked");
        }
        if incoming.message.reply.is_none() {
            return;
        }
        let mut body = answer::write(answer);
        let limit = self.nats.max_payload();
        if body.len() > limit {
            tracing::error!(route = %self.route, bytes = body.len(), limit, "an answer is larger than NATS takes");
            body = answer::refusal(&too_large(body.len(), limit)).encode_to_vec();
        }
        if let Err(error) = incoming.respond(Ok(body.into())).await {
            tracing::warn!(route = %self.route, %error, "an answer could not be sent");
        }
    }
}

fn too_large(actual: usize, limit: usize) -> AppError {
    AppError::new(
        Status::Internal,
        "RESPONSE_TOO_LARGE",
        format!(
            "the answer has {actual} bytes, this NATS server takes {limit}; a command was carried out all the same"
        ),
    )
    .solution("ask for less at a time, or raise the server's max_payload")
}
