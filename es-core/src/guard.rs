//! A panic in the application's code becomes an error for the one caller it concerns.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
};

use futures_util::FutureExt;

use crate::Error;

/// Awaits a future of the application's; a panic inside becomes [`Error::HandlerPanicked`].
///
/// # Errors
/// [`Error::HandlerPanicked`]. The panic's message goes to the log only.
pub async fn guard<F: Future>(future: F) -> Result<F::Output, Error> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(|panic| panicked("a handler".into(), &*panic))
}

/// Calls code of the application's; a panic inside becomes [`Error::HandlerPanicked`].
///
/// # Errors
/// [`Error::HandlerPanicked`]. The panic's message goes to the log only.
pub fn guard_call<R>(what: impl FnOnce() -> String, call: impl FnOnce() -> R) -> Result<R, Error> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| panicked(what(), &*panic))
}

fn panicked(what: String, panic: &(dyn Any + Send)) -> Error {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(%what, message = message.unwrap_or("(no message)"), "application code panicked");
    Error::HandlerPanicked { what }
}
