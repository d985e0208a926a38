//! What generated code and macros name, and nothing else does.

use prost::Message;

pub use std::{future::Future, result::Result};

pub use es_derive::Aggregate;
pub use prost;
pub use prost_types;

pub use crate::{
    AppError, Applier, ApplyTo, Call, Client, CommandCall, CommandContext, Encoded, Encoding, Error, Event, EventOf,
    EventSet, Handles, Hook, HookBuilder, Metadata, MethodInfo, Query, QueryCall, QueryContext, Repository, Request,
    Response, Root, Service, Target, Transport, UpcastFrom,
    aggregate::Aggregate,
    error::{DecodeError, EncodeError},
    guard::guard,
    receive::unknown_method,
    store::BoxFuture,
};

/// Appends a message's bytes.
///
/// # Errors
/// None; the signature is that of [`Event::encode`](crate::Event::encode).
pub fn encode_message<M: Message>(message: &M, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
    message.encode_raw(buffer);
    Ok(())
}

/// Decodes a message.
///
/// # Errors
/// Where the bytes are no such message.
pub fn decode_message<M: Message + Default>(payload: &[u8]) -> Result<M, DecodeError> {
    M::decode(payload).map_err(DecodeError::malformed)
}

/// Appends a value's JSON.
///
/// # Errors
/// Where the value has no JSON form.
#[cfg(feature = "serde")]
pub fn encode_json<E: crate::Event + serde::Serialize>(event: &E, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
    serde_json::to_writer(buffer, event).map_err(|error| EncodeError::new(E::TYPE, error))
}

/// Decodes a value from its JSON.
///
/// # Errors
/// Where the JSON is no such value.
#[cfg(feature = "serde")]
pub fn decode_json<E: serde::de::DeserializeOwned>(payload: &[u8]) -> Result<E, DecodeError> {
    serde_json::from_slice(payload).map_err(DecodeError::malformed)
}

/// A state as JSON, for a snapshot.
#[cfg(feature = "serde")]
pub fn snapshot_json<S: serde::Serialize>(state: &S) -> Option<Vec<u8>> {
    serde_json::to_vec(state).ok()
}

/// A state from a snapshot's JSON.
#[cfg(feature = "serde")]
pub fn restore_json<S: serde::de::DeserializeOwned>(snapshot: &[u8]) -> Option<S> {
    serde_json::from_slice(snapshot).ok()
}
