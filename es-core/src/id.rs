//! Validated identifiers: what names an aggregate, a tenant, a command.

use std::{fmt, str::FromStr, sync::Arc};

use uuid::Uuid;

use crate::{Error, Timestamp};

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
    // Most ids have plain letters only, and are not looked at one by one.
    if id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
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
    ///
    /// Answers are kept for [a week](crate::store::ANSWERS_ARE_KEPT). An id that says when it was made, a UUIDv7, protects
    /// after that as well: a command that is sent later than that, by a client that held it back or by someone who has
    /// captured it, is refused as [expired](Error::CommandExpired). Any other id is taken for a new one once its answer is
    /// forgotten. So don't give a command the id of a thing that is older than the command.
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
        Self(Uuid::now_v7().to_string().into())
    }

    /// When it was made, to the millisecond and by the clock of whoever made it, if it says so: a UUIDv7 does.
    ///
    /// ```
    /// # use es_core::CommandId;
    /// let id = CommandId::new("01890a5d-ac96-774b-bcce-b302099a8057")?;
    /// assert_eq!(id.made_at().unwrap().to_string(), "2023-06-30T03:34:18.518Z");
    /// assert_eq!(CommandId::new("order-17")?.made_at(), None);
    /// # Ok::<(), es_core::Error>(())
    /// ```
    pub fn made_at(&self) -> Option<Timestamp> {
        let id = Uuid::try_parse(&self.0).ok().filter(|id| id.get_version_num() == 7)?;
        let (seconds, nanos) = id.get_timestamp()?.to_unix();
        let micros = seconds.checked_mul(1_000_000)?.checked_add(u64::from(nanos / 1_000))?;
        Some(Timestamp::from_micros(i64::try_from(micros).ok()?))
    }

    /// The id made of this name, the same each time: a UUIDv5.
    pub(crate) fn made_of(name: &[u8]) -> Self {
        Self(Uuid::new_v5(&Uuid::NAMESPACE_OID, name).to_string().into())
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
    fn only_an_id_with_a_time_in_it_says_when_it_was_made() {
        let made = |id: &str| CommandId::new(id).unwrap().made_at().map(Timestamp::as_micros);
        let before = Timestamp::from(std::time::SystemTime::now()).as_micros() / 1_000 * 1_000;
        let now = made(CommandId::random().as_str()).unwrap();
        assert!((before..before + 60_000_000).contains(&now), "{now}");
        assert_eq!(made("00000000-0000-7000-8000-000000000000"), Some(0));
        assert_eq!(made("ffffffff-ffff-7fff-bfff-ffffffffffff"), Some(((1 << 48) - 1) * 1_000));
        for other in ["order-17", "01890a5d-ac96-474b-bcce-b302099a8057", "01890a5d-ac96-774b-bcce", "1"] {
            assert_eq!(made(other), None, "{other}");
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
