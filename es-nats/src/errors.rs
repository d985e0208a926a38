//! Errors of NATS as ours.

use std::error::Error as _;

use async_nats::jetstream::{
    ErrorCode,
    context::{GetStreamError, GetStreamErrorKind, RequestError, RequestErrorKind},
};
use es_core::Error;

/// The connection did not do it; later it may.
pub(crate) fn unavailable(error: impl std::fmt::Display) -> Error {
    Error::Unavailable { why: format!("NATS: {error}") }
}

/// Why nothing is known of a stream: [`unavailable`], and where no JetStream answers, what to do about it.
pub(crate) fn no_stream(error: &GetStreamError) -> Error {
    let is_off = match error.kind() {
        GetStreamErrorKind::JetStream(error) => {
            let off = [ErrorCode::JETSTREAM_NOT_ENABLED, ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT];
            off.contains(&error.error_code())
        }
        _ => error
            .source()
            .and_then(|cause| cause.downcast_ref::<RequestError>())
            .is_some_and(|cause| cause.kind() == RequestErrorKind::NoResponders),
    };
    match is_off {
        true => unavailable(
            "JetStream, which keeps the stream, is not enabled on this server or for this account: start it with \
             `nats-server -js`, or put `jetstream {}` into its configuration file",
        ),
        false => unavailable(error),
    }
}

/// The stream is not what it should be. Nothing was overwritten.
pub(crate) fn diverged(stream: &str, why: impl Into<String>) -> Error {
    Error::Diverged { what: format!("stream `{stream}`"), why: why.into() }
}
