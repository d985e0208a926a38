//! Stored events for those who miss them: an endpoint beside the relay.

use std::sync::{Arc, Mutex, PoisonError};

use async_nats::{Message, Subscriber};
use bytes::Bytes;
use es_core::{
    AppError, Error, EventLog, EventStore, Filter, Result, Status,
    error::DecodeError,
    wire::{ReadEventRequest, ReadEventResponse},
};
use futures_util::StreamExt;
use prost::Message as _;
use tokio::{
    sync::{broadcast, watch},
    task::AbortHandle,
};
use uuid::Uuid;

use crate::{
    Nats,
    connection::Connection,
    envelope::EnvelopeWriter,
    errors::unavailable,
    link::{Told, is_forbidden, remedy},
};

/// All relays of a store answer, each request one of them.
const GROUP: &str = "es";
/// More than an answer has beside its piece of the envelope.
const OVERHEAD: usize = 128;

/// Where events of a store are asked for.
pub(crate) fn subject(store: Uuid) -> String {
    format!("es.store.{store}.events")
}

/// Hands out stored events, as long as the stream is known for a copy of the store.
#[derive(Debug)]
pub(crate) struct Endpoint {
    nats: Nats,
    store: Arc<dyn EventStore>,
    /// Why it hands out none, if so.
    closed: Mutex<Option<String>>,
    /// Why no request reaches it, if none does.
    unheard: Mutex<Option<String>>,
}

/// The endpoint at work; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Serving(AbortHandle);

impl Endpoint {
    /// Closed until it is told that the stream is a copy.
    pub(crate) fn new(nats: Nats, store: Arc<dyn EventStore>) -> Self {
        let closed = "the relay has not compared the stream with its store yet".to_owned();
        Self { nats, store, closed: Mutex::new(Some(closed)), unheard: Mutex::default() }
    }

    pub(crate) async fn serve(self: &Arc<Self>) -> Result<Serving> {
        let link = self.nats.link();
        // From before it is asked: the server may forbid it.
        let told = (link.watch(), link.complaints());
        let connection = self.nats.connection();
        let requests = self.listen(&connection).await?;
        Ok(Serving(tokio::spawn(Arc::clone(self).work(connection, requests, told)).abort_handle()))
    }

    /// The stream is a copy of the store.
    pub(crate) fn open(&self) {
        *locked(&self.closed) = None;
    }

    /// The stream is no copy of the store: a reader of it would be handed events of another log.
    pub(crate) fn close(&self, why: String) {
        *locked(&self.closed) = Some(why);
    }

    /// Why readers get no events from it, if so.
    pub(crate) fn problem(&self) -> Option<String> {
        locked(&self.unheard).clone().or_else(|| locked(&self.closed).clone())
    }

    async fn listen(&self, over: &Connection) -> Result<Subscriber> {
        let subject = subject(self.store.identity().id);
        over.client.queue_subscribe(subject, GROUP.into()).await.map_err(unavailable)
    }

    /// One request after the other: they are rare, and are not to take the store from others.
    async fn work(
        self: Arc<Self>,
        mut connection: Arc<Connection>,
        mut requests: Subscriber,
        (mut told, mut complaints): (watch::Receiver<Told>, broadcast::Receiver<Arc<str>>),
    ) {
        let mut made = told.borrow().connects;
        loop {
            let request = tokio::select! {
                biased;
                // What the server forbids on a connection, it says after it is made.
                Ok(()) = told.changed() => {
                    let now = told.borrow_and_update().connects;
                    if std::mem::replace(&mut made, now) != now {
                        *locked(&self.unheard) = None;
                    }
                    continue;
                }
                complaint = complaints.recv() => {
                    if let Ok(complaint) = complaint {
                        self.heed(&complaint);
                    }
                    continue;
                }
                request = requests.next() => request,
            };
            match request {
                Some(request) => self.reply(&connection, request).await,
                // The connection has ended for good.
                None => loop {
                    connection = self.nats.after(&connection).await;
                    if let Ok(again) = self.listen(&connection).await {
                        requests = again;
                        break;
                    }
                },
            }
        }
    }

    /// Takes in what the server complains about.
    fn heed(&self, complaint: &str) {
        let subject = subject(self.store.identity().id);
        if is_forbidden(complaint) && complaint.contains(&format!("Subscription to \"{subject}\"")) {
            let why = remedy(complaint);
            tracing::error!(%why, "readers can't get from the store what the stream lacks");
            *locked(&self.unheard) = Some(why);
        }
    }

    async fn reply(&self, over: &Connection, Message { reply, payload, .. }: Message) {
        let Some(reply) = reply else { return };
        let room = over.client.max_payload().saturating_sub(OVERHEAD);
        let answer = self.answer(&payload, room).await.unwrap_or_else(|error| {
            let error = AppError::from(error);
            ReadEventResponse { error: Some((&error).into()), ..Default::default() }
        });
        if let Err(error) = over.client.publish(reply, answer.encode_to_vec().into()).await {
            tracing::warn!(%error, "a stored event was asked for and could not be handed out");
        }
    }

    async fn answer(&self, request: &Bytes, room: usize) -> Result<ReadEventResponse> {
        if let Some(why) = &*locked(&self.closed) {
            return Err(AppError::new(Status::Unavailable, "NOT_A_COPY", why.clone()).into());
        }
        answer(&*self.store, request, room).await
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn locked(text: &Mutex<Option<String>>) -> std::sync::MutexGuard<'_, Option<String>> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(store: &dyn EventLog, request: &Bytes, room: usize) -> Result<ReadEventResponse> {
    let request = ReadEventRequest::decode(request.clone())
        .map_err(|error| Error::Decode { what: "request".into(), source: DecodeError::malformed(error) })?;
    let none = || AppError::not_found("NO_SUCH_EVENT", format!("the store has no event at {}", request.position));
    let before = request.position.checked_sub(1).ok_or_else(none)?;
    let page = store.read_all(before, 1, &Filter::all()).await?;
    let event = page.events.iter().find(|event| event.meta.position == request.position).ok_or_else(none)?;
    let envelope = EnvelopeWriter::new(&store.identity()).whole(event);
    let from = usize::try_from(request.offset).unwrap_or(usize::MAX).min(envelope.len());
    let to = envelope.len().min(from.saturating_add(room));
    Ok(ReadEventResponse { size: envelope.len() as u64, chunk: envelope[from..to].to_vec(), error: None })
}
