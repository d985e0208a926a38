//! What can go wrong between an event and its bytes.

use super::Source;
use crate::Encoding;

/// Why an event has no encoded form.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode event `{event_type}`")]
pub struct EncodeError {
    event_type: &'static str,
    source: Source,
}

impl EncodeError {
    /// An event of this type that its encoding can't express.
    pub fn new(event_type: &'static str, source: impl Into<Source>) -> Self {
        Self { event_type, source: source.into() }
    }
}

/// Why bytes are not the event or message they should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The type is not one of those expected.
    #[error("unknown type `{0}`")]
    UnknownType(String),
    /// The payload is in another encoding.
    #[error("encoded as {actual:?}, expected {expected:?}")]
    WrongEncoding {
        /// What the type is encoded with.
        expected: Encoding,
        /// What the store says.
        actual: Encoding,
    },
    /// The bytes are no such message.
    #[error(transparent)]
    Malformed(Source),
}

impl DecodeError {
    /// A type that is not one of those expected.
    pub fn unknown_type(event_type: &str) -> Self {
        Self::UnknownType(event_type.to_owned())
    }

    /// Bytes that are no such message.
    pub fn malformed(source: impl Into<Source>) -> Self {
        Self::Malformed(source.into())
    }

    /// Refuses an encoding other than the expected one.
    ///
    /// # Errors
    /// [`DecodeError::WrongEncoding`].
    pub fn expect_encoding(expected: Encoding, actual: Encoding) -> Result<(), Self> {
        if expected == actual { Ok(()) } else { Err(Self::WrongEncoding { expected, actual }) }
    }
}
