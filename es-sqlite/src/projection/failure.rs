//! What a projection does about an event that its hook refuses.

use std::error::Error as StdError;

use es_core::{AppError, Error, Retry, error::DecodeError};
use rusqlite::ErrorCode;

/// What a [`SqliteProjection`](crate::SqliteProjection) does about an event that still fails after all
/// [retries](crate::SqliteProjectionBuilder::retries).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Stops right before the event's commit, with [`ProjectionFaulted`](Error::ProjectionFaulted). Nothing is passed
    /// over unless [`skip`](crate::SqliteProjection::skip) says so.
    #[default]
    Halt,
    /// Parks the event, and with it every later event of the same aggregate; other aggregates go on. Nothing is lost:
    /// [`release`](crate::SqliteProjection::release) handles what is parked, in order.
    ParkAggregate,
    /// Passes over the event and notes that; the aggregate's later events are handled.
    Skip,
}

/// What the builder was told about failures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) on_failure: OnFailure,
    pub(super) retries: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self { on_failure: OnFailure::Halt, retries: 3 }
    }
}

/// Whether a hook's error would be the same the next time. What can't be told may pass.
pub(super) fn is_permanent(error: &(dyn StdError + Send + Sync + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<rusqlite::Error>() {
        // What is wrong with the statement stays wrong. A row that is missing, or a constraint that does not hold, may
        // depend on another read model in the file, which catches up.
        return match error {
            rusqlite::Error::QueryReturnedNoRows => false,
            rusqlite::Error::SqliteFailure(code, _) => matches!(
                code.code,
                ErrorCode::Unknown
                    | ErrorCode::AuthorizationForStatementDenied
                    | ErrorCode::TypeMismatch
                    | ErrorCode::ParameterOutOfRange
                    | ErrorCode::TooBig
            ),
            _ => true,
        };
    }
    let retry = |error: &Error| error.retry() == Retry::Never;
    error.is::<DecodeError>()
        || error.downcast_ref().is_some_and(retry)
        || error.downcast_ref::<AppError>().is_some_and(|error| error.retry() == Retry::Never)
}

/// An error and what caused it, in one line.
pub(super) fn in_words(error: &(dyn StdError + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_says_so_is_not_tried_again() {
        let permanent: [Box<dyn StdError + Send + Sync>; 4] = [
            Box::new(Error::HandlerPanicked { what: "a hook".into() }),
            Box::new(AppError::failed_precondition("CLOSED", "the account is closed")),
            Box::new(DecodeError::malformed("it ends early")),
            Box::new(rusqlite::Error::InvalidParameterName(":cents".into())),
        ];
        for error in permanent {
            assert!(is_permanent(&*error), "{error}");
        }
        let passing: [Box<dyn StdError + Send + Sync>; 3] = [
            "the exchange rate is not there yet".into(),
            Box::new(AppError::unavailable("LATER", "not now")),
            Box::new(rusqlite::Error::QueryReturnedNoRows),
        ];
        for error in passing {
            assert!(!is_permanent(&*error), "{error}");
        }
    }

    #[test]
    fn causes_are_told() {
        let error = Error::Decode { what: "the event".into(), source: DecodeError::malformed("it ends early") };
        assert_eq!(in_words(&error), "cannot decode the event: it ends early");
    }
}
