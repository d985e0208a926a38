//! Takes requests in, and answers every one.

use std::{
    future::poll_fn,
    iter::from_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use async_nats::{Client, Message, Subscriber};
use es_core::{AppError, Error, Response, Result, Route, Status, Tenant, guard};
use futures_util::{FutureExt, StreamExt};
use prost::Message as _;
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{
    endpoint::Endpoint,
    gate::{Gate, Place},
    incoming,
};
use crate::{answer, later::later};

/// Requests taken in at once, at most.
const AT_ONCE: usize = 128;

/// What holds for every request of a server.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) deadline: Duration,
    pub(super) tenants: Vec<Tenant>,
    pub(super) trust_tenant_header: bool,
}

/// What requests of one endpoint share.
pub(super) struct Worker {
    pub(super) client: Client,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) service: Route,
    /// The subject without a tenant.
    pub(super) route: String,
    pub(super) rules: Arc<Rules>,
    pub(super) gate: Arc<Gate>,
}

/// Takes requests in until told to stop, then those that had come already. Says whether it ended because it was told to.
pub(super) async fn run(mut requests: Subscriber, worker: Arc<Worker>, mut stop: watch::Receiver<bool>) -> bool {
    let mut stopping = false;
    let mut taken = Vec::new();
    loop {
        let first = tokio::select! {
            biased;
            // It changes once.
            _ = stop.changed(), if !stopping => {
                stopping = true;
                if let Err(error) = requests.unsubscribe().await {
                    tracing::warn!(%error, route = %worker.route, "could not leave the subject");
                    return true;
                }
                continue;
            }
            first = requests.next() => first,
        };
        let Some(first) = first else { return stopping };
        worker.let_in(first, &mut taken).await;
        // Also of those that are turned away: who was let in is not to wait for them.
        for _ in 1..AT_ONCE {
            let Some(Some(next)) = requests.next().now_or_never() else { break };
            worker.let_in(next, &mut taken).await;
        }
        worker.share_out(&mut taken);
    }
}

impl Worker {
    /// Lets a request in; without a place for it, it is answered at once.
    async fn let_in(&self, incoming: Message, taken: &mut Vec<(Message, Place)>) {
        match self.gate.enter() {
            Some(place) => taken.push((incoming, place)),
            None => self.reply(&incoming, Err(Error::Backpressure { what: "the server" })).await,
        }
    }

    /// Spreads what has come at once over the threads there are: a task for each request would cost as much as a request
    /// that does little, and its answer would leave alone. Each thread takes one after the other, so that none waits behind
    /// a handler that keeps its thread.
    fn share_out(self: &Arc<Self>, taken: &mut Vec<(Message, Place)>) {
        if taken.len() <= 1 {
            let mut one = taken.pop();
            tokio::spawn(Arc::clone(self).begin_all(move || one.take()));
            return;
        }
        let threads = Handle::current().metrics().num_workers().clamp(1, taken.len());
        // The next ones are as many, most likely.
        let next = Vec::with_capacity(taken.len());
        let all = Arc::new(Mutex::new(std::mem::replace(taken, next).into_iter()));
        for _ in 0..threads {
            let all = Arc::clone(&all);
            let next = move || all.lock().unwrap_or_else(PoisonError::into_inner).next();
            tokio::spawn(Arc::clone(self).begin_all(next));
        }
    }

    /// Begins to answer each; those that have to wait for something go on as tasks of their own.
    async fn begin_all(self: Arc<Self>, next: impl FnMut() -> Option<(Message, Place)>) {
        let mut begun = from_fn(next).map(|(incoming, place)| Arc::clone(&self).answer(incoming, place));
        let mut answering = begun.next().map(Box::pin);
        while let Some(mut one) = answering {
            let done = poll_once(one.as_mut()).await.is_ready();
            answering = match begun.next() {
                // In the same place: an answer on its way is large.
                Some(next) if done => {
                    one.set(next);
                    Some(one)
                }
                next => {
                    if !done {
                        tokio::spawn(one);
                    }
                    next.map(Box::pin)
                }
            };
        }
    }

    #[expect(clippy::manual_async_fn, reason = "an async fn would have room for its arguments twice")]
    fn answer(self: Arc<Self>, incoming: Message, place: Place) -> impl Future<Output = ()> + Send {
        async move {
            let begun = Instant::now();
            let answer = self.within_deadline(&incoming, begun).await;
            self.endpoint.counts.answered(begun.elapsed());
            self.reply(&incoming, answer).await;
            drop(place);
        }
    }

    async fn within_deadline(&self, incoming: &Message, begun: Instant) -> Result<Response> {
        let after = self.rules.deadline;
        let deadline = later(begun, after);
        let _turn = match self.gate.try_turn() {
            Some(turn) => turn,
            // When there is no time left, it has not begun.
            None => match timeout_at(deadline, self.gate.turn()).await {
                Ok(turn) => turn?,
                Err(_) => return Err(Error::Backpressure { what: "the server" }),
            },
        };
        let mut work = pin!(guard(self.work(incoming)));
        // Much is done at once, and a timer is not for nothing.
        match poll_once(work.as_mut()).await {
            Poll::Ready(answer) => answer?,
            Poll::Pending => timeout_at(deadline, work).await.map_err(|_| Error::Timeout { after })??,
        }
    }

    async fn work(&self, incoming: &Message) -> Result<Response> {
        let request = incoming::request(incoming, self.endpoint.method, &self.route, &self.rules)?;
        self.service.answer(request).await
    }

    async fn reply(&self, incoming: &Message, answer: Result<Response>) {
        let mut body = match answer {
            Ok(response) => answer::write(response),
            Err(Error::Rejected(refusal)) => answer::refusal(&refusal).encode_to_vec(),
            Err(error) => {
                let cause = format!("{error:?}");
                let refusal = AppError::from(error);
                if is_the_callers(refusal.status()) {
                    tracing::debug!(route = %self.route, cause, "a request was refused");
                } else {
                    tracing::warn!(route = %self.route, cause, "a request was not answered as asked");
                    self.endpoint.counts.failed(refusal.code());
                }
                answer::refusal(&refusal).encode_to_vec()
            }
        };
        let Some(reply) = &incoming.reply else { return };
        let limit = self.client.max_payload();
        if body.len() > limit {
            tracing::error!(route = %self.route, bytes = body.len(), limit, "an answer is larger than NATS takes");
            body = answer::refusal(&too_large(body.len(), limit)).encode_to_vec();
        }
        if let Err(error) = self.client.publish(reply.clone(), body.into()).await {
            tracing::warn!(route = %self.route, %error, "an answer could not be sent");
        }
    }
}

/// Polls a future, whether it is ready or not.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Whether it is for the caller to do something about it, and nothing is wrong here.
fn is_the_callers(status: Status) -> bool {
    use Status::{AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, OutOfRange};
    matches!(status, AlreadyExists | FailedPrecondition | InvalidArgument | NotFound | OutOfRange)
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
