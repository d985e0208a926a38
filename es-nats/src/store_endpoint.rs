//! Stored events for those who miss them: an endpoint beside the relay, and what asks it.

use std::sync::Arc;

use async_nats::{Client, Message, Subscriber, client::RequestErrorKind};
use bytes::{Bytes, BytesMut};
use es_core::{
    AppError, Error, EventLog, Filter, Result, StoreIdentity,
    error::DecodeError,
    wire::{ReadEventRequest, ReadEventResponse},
};
use futures_util::StreamExt;
use prost::Message as _;
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::{
    Nats,
    envelope::{Content, Envelope, EnvelopeWriter},
    errors::unavailable,
};

/// All relays of a store answer, each request one of them.
const GROUP: &str = "es";
/// More than an answer has beside its piece of the envelope.
const OVERHEAD: usize = 128;
/// Bytes of the largest event that is taken from whoever answers.
const LARGEST: u64 = 64 << 20;

fn subject(store: Uuid) -> String {
    format!("es.store.{store}.events")
}

/// The endpoint at work; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Serving(AbortHandle);

impl Serving {
    pub(crate) async fn start(nats: &Nats, store: Arc<dyn EventLog>) -> Result<Self> {
        let client = nats.client().clone();
        let requests = client.queue_subscribe(subject(store.identity().id), GROUP.into()).await;
        let requests = requests.map_err(unavailable)?;
        Ok(Self(tokio::spawn(serve(client, requests, store)).abort_handle()))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One request after the other: they are rare, and are not to take the store from others.
async fn serve(client: Client, mut requests: Subscriber, store: Arc<dyn EventLog>) {
    while let Some(Message { reply, payload, .. }) = requests.next().await {
        let Some(reply) = reply else { continue };
        let room = client.max_payload().saturating_sub(OVERHEAD);
        let answer = answer(&*store, &payload, room).await.unwrap_or_else(|error| {
            let error = AppError::from(error);
            ReadEventResponse { error: Some((&error).into()), ..Default::default() }
        });
        if let Err(error) = client.publish(reply, answer.encode_to_vec().into()).await {
            tracing::warn!(%error, "a stored event was asked for and could not be handed out");
        }
    }
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

/// An event of a store, from whoever relays it.
///
/// # Errors
/// [`Unavailable`](Error::Unavailable) when nobody does now, or when the one who answered has the store in another epoch,
/// from before or after it was restored; [`Rejected`](Error::Rejected) with `NO_SUCH_EVENT` when the store does not have
/// it; [`Corrupt`](Error::Corrupt) when what came is not that event, or larger than 64 MiB.
pub(crate) async fn stored_event(client: &Client, store: &StoreIdentity, position: u64) -> Result<Envelope> {
    let StoreIdentity { id: store, epoch } = *store;
    let (subject, mut envelope) = (subject(store), BytesMut::new());
    let corrupt = |why: String| Error::Corrupt { what: format!("event {position} of store {store}"), why };
    loop {
        let request = ReadEventRequest { position, offset: envelope.len() as u64 }.encode_to_vec();
        let answer = client.request(subject.clone(), request.into()).await.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => {
                Error::Unavailable { why: format!("no relay of store {store} runs to hand out stored events") }
            }
            _ => unavailable(error),
        })?;
        let answer = ReadEventResponse::decode(answer.payload)
            .map_err(|error| Error::Decode { what: "stored event".into(), source: DecodeError::malformed(error) })?;
        if let Some(error) = answer.error {
            return Err(AppError::from(error).into());
        }
        if answer.size > LARGEST {
            return Err(corrupt(format!("it is to have {} bytes; at most {LARGEST} are taken", answer.size)));
        }
        envelope.extend_from_slice(&answer.chunk);
        if envelope.len() as u64 >= answer.size {
            break;
        }
        if answer.chunk.is_empty() {
            return Err(corrupt("a piece of it is empty".into()));
        }
    }
    let envelope = Envelope::decode(&envelope.freeze())?;
    let is_it = envelope.store.id == store && envelope.meta.position == position;
    if !is_it || !matches!(envelope.content, Content::Whole(_)) {
        return Err(corrupt("another event came".into()));
    }
    // Another relay of the store may answer next; this one's event is not the one that was published.
    if envelope.store.epoch != epoch {
        let answered = envelope.store.epoch;
        let why = format!(
            "event {position} of store {store} was asked for in epoch {epoch}, and who answered has the store in epoch \
             {answered}: it was restored in between; end the relay of the former store, and open the subscription again"
        );
        return Err(Error::Unavailable { why });
    }
    Ok(envelope)
}
