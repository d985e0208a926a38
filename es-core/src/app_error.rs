//! The answer of a service that says no.

use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::{Error, Retry, wire};

pub use crate::wire::Status;

/// Why a command or query was refused: a stable code for programs, words for people.
///
/// ```
/// # use es_core::AppError;
/// let error = AppError::failed_precondition("INSUFFICIENT_FUNDS", "the balance is too low")
///     .solution("deposit first")
///     .detail("balance_cents", 250);
/// ```
#[derive(Clone, Debug)]
pub struct AppError(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    status: Status,
    code: String,
    message: String,
    solution: String,
    details: BTreeMap<String, String>,
    /// Set when an infrastructure error passes through a handler by `?`, so that its kind is not lost.
    origin: Option<Arc<Error>>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $status:ident,)*) => {$(
        $(#[$doc])*
        pub fn $name(code: impl Into<String>, message: impl Into<String>) -> Self {
            Self::new(Status::$status, code, message)
        }
    )*};
}

impl AppError {
    /// An error of any status.
    pub fn new(status: Status, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            status,
            code: code.into(),
            message: message.into(),
            solution: String::new(),
            details: BTreeMap::new(),
            origin: None,
        }))
    }

    constructors! {
        /// A value of the request can't be right, whatever the state.
        invalid_argument => InvalidArgument,
        /// The state does not allow this now.
        failed_precondition => FailedPrecondition,
        /// What was asked for does not exist.
        not_found => NotFound,
        /// What was to be created exists.
        already_exists => AlreadyExists,
        /// A value lies outside what the state allows.
        out_of_range => OutOfRange,
        /// The caller may not do this.
        permission_denied => PermissionDenied,
        /// Who the caller is was not shown.
        unauthenticated => Unauthenticated,
        /// A quota is used up.
        resource_exhausted => ResourceExhausted,
        /// The service can't do this now; later it may.
        unavailable => Unavailable,
        /// Something broke that the caller can't mend.
        internal => Internal,
    }

    /// Says what the caller can do about it.
    #[must_use]
    pub fn solution(mut self, solution: impl Into<String>) -> Self {
        self.0.solution = solution.into();
        self
    }

    /// Adds a detail: a field name, a value.
    #[must_use]
    pub fn detail(mut self, key: impl Into<String>, value: impl fmt::Display) -> Self {
        self.0.details.insert(key.into(), value.to_string());
        self
    }

    /// The canonical status.
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// The machine-readable code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The message for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the caller can do about it; empty when nothing was said.
    pub fn solution_text(&self) -> &str {
        &self.0.solution
    }

    /// The details.
    pub fn details(&self) -> &BTreeMap<String, String> {
        &self.0.details
    }

    /// Whether this is an answer of the domain, recorded under the command's id like an accepted one.
    ///
    /// Statuses that tell of the moment and not of the domain are never recorded.
    pub(crate) fn is_recorded(&self) -> bool {
        self.0.origin.is_none() && self.is_final()
    }

    /// Whether the service would say the same again. Every other status tells of the moment (a credential that expired
    /// is one), of the way there, or of a mistake that will be mended.
    pub(crate) fn is_final(&self) -> bool {
        use Status::{AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, OutOfRange};
        matches!(self.0.status, FailedPrecondition | InvalidArgument | NotFound | AlreadyExists | OutOfRange)
    }

    /// The infrastructure error that passed through a handler, if it is one.
    pub(crate) fn origin(&self) -> Option<&Arc<Error>> {
        self.0.origin.as_ref()
    }

    /// The error that passed through, as itself when no one else holds it.
    pub(crate) fn into_error(mut self) -> Error {
        match self.0.origin.take().map(Arc::try_unwrap) {
            Some(Ok(error)) => error,
            Some(Err(shared)) => {
                self.0.origin = Some(shared);
                Error::Rejected(self)
            }
            None => Error::Rejected(self),
        }
    }

    /// Whether trying again is safe.
    pub fn retry(&self) -> Retry {
        match (&self.0.origin, self.0.status) {
            (Some(error), _) => error.retry(),
            (None, Status::Unavailable | Status::Aborted | Status::ResourceExhausted) => Retry::Safe,
            (None, Status::DeadlineExceeded | Status::Unknown | Status::Unspecified) => Retry::SameIdOnly,
            (None, _) => Retry::Never,
        }
    }
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)?;
        if self.0.solution.is_empty() { Ok(()) } else { write!(f, " ({})", self.0.solution) }
    }
}

impl std::error::Error for AppError {}

impl PartialEq for AppError {
    fn eq(&self, other: &Self) -> bool {
        wire::AppError::from(self) == wire::AppError::from(other)
    }
}

/// An error type of the user's own that becomes an answer by `?`.
///
/// ```
/// # use es_core::{AppError, DomainError, Status};
/// #[derive(Debug)]
/// enum BankError { AccountClosed }
///
/// impl std::fmt::Display for BankError {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("the account is closed") }
/// }
///
/// impl DomainError for BankError {
///     fn code(&self) -> &str { "ACCOUNT_CLOSED" }
/// }
///
/// fn decide() -> Result<(), AppError> { Ok(Err(BankError::AccountClosed)?) }
/// assert_eq!(decide().unwrap_err().status(), Status::FailedPrecondition);
/// ```
pub trait DomainError: fmt::Display {
    /// The machine-readable code.
    fn code(&self) -> &str;

    /// The canonical status. Default: the state does not allow this now.
    fn status(&self) -> Status {
        Status::FailedPrecondition
    }

    /// What the caller can do about it. Default: nothing is said.
    fn solution(&self) -> Option<String> {
        None
    }

    /// Details. Default: none.
    fn details(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

impl<E: DomainError> From<E> for AppError {
    fn from(error: E) -> Self {
        let mut answer = Self::new(error.status(), error.code(), error.to_string());
        answer.0.solution = error.solution().unwrap_or_default();
        answer.0.details = error.details();
        answer
    }
}

impl From<Error> for AppError {
    /// The answer a caller elsewhere gets: a stable code and a safe message. Causes stay here, for the log.
    fn from(error: Error) -> Self {
        let (status, code) = match error {
            Error::Rejected(answer) => return answer,
            Error::Conflict { .. } => (Status::Aborted, "CONFLICT"),
            Error::UniqueTaken { .. } => (Status::AlreadyExists, "UNIQUE_TAKEN"),
            Error::CommandIdReused { .. } => (Status::InvalidArgument, "COMMAND_ID_REUSED"),
            Error::CommandExpired { .. } => (Status::FailedPrecondition, "COMMAND_EXPIRED"),
            Error::InvalidId { .. } => (Status::InvalidArgument, "INVALID_ID"),
            Error::InvalidRequest { .. } => (Status::InvalidArgument, "INVALID_REQUEST"),
            Error::TooLarge { .. } | Error::TooManyEvents { .. } => (Status::InvalidArgument, "TOO_LARGE"),
            Error::NotServed { .. } => (Status::Unimplemented, "NOT_SERVED"),
            Error::Unsupported { .. } => (Status::Unimplemented, "UNSUPPORTED"),
            Error::UnknownProjection { .. } => (Status::NotFound, "UNKNOWN_PROJECTION"),
            Error::Busy { .. } | Error::Unavailable { .. } | Error::ShuttingDown => {
                (Status::Unavailable, "UNAVAILABLE")
            }
            Error::Backpressure { .. } => (Status::ResourceExhausted, "BACKPRESSURE"),
            Error::StorageFull { .. } => (Status::Unavailable, "STORAGE_FULL"),
            Error::ReadOnly { .. } => (Status::Unavailable, "READ_ONLY"),
            Error::NotCaughtUp { .. } => (Status::Unavailable, "NOT_CAUGHT_UP"),
            Error::OutcomeUnknown { .. } => (Status::Unknown, "OUTCOME_UNKNOWN"),
            Error::Timeout { .. } => (Status::DeadlineExceeded, "TIMEOUT"),
            Error::Corrupt { .. } | Error::Decode { .. } | Error::UnknownEventType { .. } => {
                (Status::DataLoss, "CORRUPT")
            }
            Error::HandlerPanicked { .. } => (Status::Internal, "HANDLER_PANICKED"),
            _ => (Status::Internal, "INTERNAL"),
        };
        // Words about files, positions and causes are for the operator, not for a remote caller.
        let message = match status {
            Status::Internal | Status::DataLoss | Status::Unavailable => "the service could not do this".to_owned(),
            _ => error.to_string(),
        };
        let mut answer = Self::new(status, code, message);
        answer.0.origin = Some(Arc::new(error));
        answer
    }
}

impl From<&AppError> for wire::AppError {
    fn from(error: &AppError) -> Self {
        let Inner { status, code, message, solution, details, origin: _ } = (*error.0).clone();
        Self { code, message, solution, details, status: status.into() }
    }
}

impl From<wire::AppError> for AppError {
    fn from(error: wire::AppError) -> Self {
        // Answers of programs that do not know the field yet.
        let status = match error.status() {
            Status::Unspecified => Status::Unknown,
            status => status,
        };
        let mut answer = Self::new(status, error.code, error.message).solution(error.solution);
        answer.0.details = error.details;
        answer
    }
}

/// Returns the error unless the condition holds: a rule of the domain in one line.
///
/// ```
/// # use es_core::{AppError, ensure};
/// fn withdraw(balance: i64, cents: i64) -> Result<(), AppError> {
///     ensure!(cents <= balance, AppError::failed_precondition("INSUFFICIENT_FUNDS", "the balance is too low"));
///     Ok(())
/// }
/// assert_eq!(withdraw(1, 2).unwrap_err().code(), "INSUFFICIENT_FUNDS");
/// ```
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $error:expr $(,)?) => {
        if !$condition {
            return ::core::result::Result::Err(::core::convert::Into::into($error));
        }
    };
}
