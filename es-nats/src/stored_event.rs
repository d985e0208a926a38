//! Asking a store for an event that its stream lacks.

use async_nats::{Client, client::RequestErrorKind};
use bytes::BytesMut;
use es_core::{
    AppError, Error, Result, StoreIdentity,
    error::DecodeError,
    wire::{ReadEventRequest, ReadEventResponse},
};
use prost::Message as _;

use crate::{
    envelope::{Content, Envelope},
    errors::unavailable,
    store_endpoint::subject,
};

/// Bytes of the largest event that is taken from whoever answers.
const LARGEST: u64 = 64 << 20;

/// An event of a store, from whoever relays it.
///
/// # Errors
/// [`Unavailable`](Error::Unavailable) when nobody does now, or when the one who answered has the store in another epoch,
/// from before or after it was restored; [`Rejected`](Error::Rejected) with `NO_SUCH_EVENT` when the store does not have
/// it, and with `NOT_A_COPY` while that relay does not know the stream for a copy of its store;
/// [`Corrupt`](Error::Corrupt) when what came is not that event, or larger than 64 MiB.
pub(crate) async fn stored_event(client: &Client, store: &StoreIdentity, position: u64) -> Result<Envelope> {
    let StoreIdentity { id: store, epoch } = *store;
    let (subject, mut envelope) = (subject(store), BytesMut::new());
    let corrupt = |why: String| Error::Corrupt { what: format!("event {position} of store {store}"), why };
    loop {
        let request = ReadEventRequest { position, offset: envelope.len() as u64 }.encode_to_vec();
        let answer = client.request(subject.clone(), request.into()).await.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => {
                let why = format!("none runs, or its user may not listen on es.store.{store}.events");
                Error::Unavailable { why: format!("no relay of store {store} hands out stored events: {why}") }
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
