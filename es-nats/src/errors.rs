//! Errors of NATS as ours.

use es_core::Error;

/// The connection did not do it; later it may.
pub(crate) fn unavailable(error: impl std::fmt::Display) -> Error {
    Error::Unavailable { why: format!("NATS: {error}") }
}

/// The stream is not what it should be. Nothing was overwritten.
pub(crate) fn diverged(stream: &str, why: impl Into<String>) -> Error {
    Error::Diverged { what: format!("stream `{stream}`"), why: why.into() }
}
