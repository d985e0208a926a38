//! Validated identifiers: what names an aggregate, a tenant, a command.

use std::{fmt, str::FromStr, sync::Arc};

use crate::Error;

/// The hard ceiling of every id, in bytes of UTF-8. [`Limits::id_bytes`](crate::Limits) sets the working limit below it.
pub const MAX_ID_BYTES: usize = 1024;

/// Checks what holds for every id: not empty, not over the ceiling, no control character, no whitespace.
fn check(what: &'static str, id: &str) -> Result<(), Error> {
    let invalid = |why: String| Err(Error::InvalidId { what, why });
    if id.is_empty() {
        return invalid("it is empty".into());
    }
    if id.len() > MAX_ID_BYTES {
        return Err(Error::TooLarge { what, limit: MAX_ID_BYTES, actual: id.len() });
    }
    match id.char_indices().find(|(_, c)| c.is_control() || c.is_whitespace()) {
        Some((at, c)) if c.is_control() => {
            invalid(format!("it has the control character U+{:04X} at byte {at}", c as u32))
        }
        Some((at, c)) => invalid(format!("it has the whitespace character U+{:04X} at byte {at}", c as u32)),
        None => Ok(()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// Not empty, at most [`MAX_ID_BYTES`] bytes of UTF-8, no control characters, no whitespace. Cloning is cheap.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Validates an id.
            ///
            /// # Errors
            /// [`Error::InvalidId`] names what is wrong and where; [`Error::TooLarge`] names the limit.
            pub fn new(id: impl AsRef<str>) -> Result<Self, Error> {
                let id = id.as_ref();
                check($what, id)?;
                Ok(Self(id.into()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(id: &str) -> Result<Self, Error> {
                Self::new(id)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;

            fn try_from(id: &str) -> Result<Self, Error> {
                Self::new(id)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(id: String) -> Result<Self, Error> {
                Self::new(id)
            }
        }
    };
}

id! {
    /// The id of one aggregate: with its type and tenant it names a stream.
    AggregateId, "aggregate id"
}
id! {
    /// The id of one command: a command repeated with its id is answered from the record, never carried out twice.
    CommandId, "command id"
}
id! {
    /// A tenant. Streams, commands, claims and snapshots of one tenant are out of reach for every other.
    Tenant, "tenant"
}

id! {
    /// The name a scheduled command is rescheduled and cancelled by. Unique within its tenant.
    ScheduleKey, "schedule key"
}

impl CommandId {
    /// A new id that no one else has: a UUIDv7.
    pub fn random() -> Self {
        Self(uuid::Uuid::now_v7().to_string().into())
    }

    /// The id made of this name, the same each time: a UUIDv5.
    pub(crate) fn made_of(name: &[u8]) -> Self {
        Self(uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name).to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_quotes_dots_stars_and_four_byte_characters() {
        for id in ["o'brien", "a.b.*.>", "\"quoted\"", "🏦", "ß", &"x".repeat(MAX_ID_BYTES)] {
            assert_eq!(AggregateId::new(id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn a_bad_id_is_refused_with_the_place_of_the_offence() {
        let message = |id: &str| AggregateId::new(id).unwrap_err().to_string();
        assert_eq!(message(""), "invalid aggregate id: it is empty");
        assert_eq!(message("a\0b"), "invalid aggregate id: it has the control character U+0000 at byte 1");
        assert_eq!(message("a b"), "invalid aggregate id: it has the whitespace character U+0020 at byte 1");
        assert_eq!(message("é\r"), "invalid aggregate id: it has the control character U+000D at byte 2");
        assert_eq!(
            message(&"x".repeat(MAX_ID_BYTES + 1)),
            "the aggregate id is too large: 1025 bytes, the limit is 1024"
        );
    }
}
