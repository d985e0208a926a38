//! What a call says beside its message, as headers: written by transports, read by servers.
//!
//! Ids and names stand as they are, so that a program in any language writes and reads them; one that a header can't
//! carry (it has a control character, or white space at an end) is refused before anything is sent. An entry of the
//! caller's own is a header `Meta-{key}`, key and value escaped with `%`, so that any text gets through. Upper and lower
//! case are the same in a header's name, but not in a key.

use std::{borrow::Cow, str::FromStr};

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use es_core::{CommandId, Error, Metadata, Result};

use crate::{escape, percent};

const MESSAGE_TYPE: &str = "Message-Type";
const COMMAND_ID: &str = "Command-ID";
const TENANT_ID: &str = "Tenant-ID";
const PRINCIPAL_ID: &str = "Principal-ID";
const CORRELATION_ID: &str = "Correlation-ID";
const CAUSATION_ID: &str = "Causation-ID";
const TRACEPARENT: &str = "traceparent";
const ENTRY: &str = "Meta-";

/// The headers with a meaning of their own.
const NAMES: [&str; 7] = [MESSAGE_TYPE, COMMAND_ID, TENANT_ID, PRINCIPAL_ID, CORRELATION_ID, CAUSATION_ID, TRACEPARENT];

/// The headers of a call. Its tenant is not among them: the subject says it.
///
/// # Errors
/// [`InvalidRequest`](Error::InvalidRequest) for a value that would arrive as another one.
pub(crate) fn write(message_type: &str, command_id: Option<&CommandId>, metadata: &Metadata) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: Option<&str>| -> Result<()> {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            headers.insert(HeaderName::from_static(name), plain(name, value)?);
        }
        Ok(())
    };
    put(MESSAGE_TYPE, Some(message_type))?;
    put(COMMAND_ID, command_id.map(CommandId::as_str))?;
    put(PRINCIPAL_ID, metadata.principal_id.as_deref())?;
    put(CORRELATION_ID, metadata.correlation_id.as_deref())?;
    put(CAUSATION_ID, metadata.causation_id.as_deref())?;
    put(TRACEPARENT, metadata.traceparent.as_deref())?;
    for (key, value) in &metadata.entries {
        let name = format!("{ENTRY}{}", escape::token(key));
        // Neither is ever refused: both are escaped.
        let name = HeaderName::from_str(&name).map_err(|_| invalid(&name, "is no header name"))?;
        let value = HeaderValue::from_str(&escaped(value)).map_err(|_| invalid(text(&name), "is no header value"))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// A value as it is, if it arrives so: a reader trims, and a control character may end the line.
fn plain(name: &str, value: &str) -> Result<HeaderValue> {
    // Most have plain letters only, and are not looked at one by one.
    if value.bytes().any(|byte| !(b' '..0x7f).contains(&byte))
        && let Some((at, c)) = value.char_indices().find(|(_, c)| c.is_control())
    {
        return Err(invalid(name, &format!("has the control character U+{:04X} at byte {at}", c as u32)));
    }
    if value.trim().len() != value.len() {
        return Err(invalid(name, "has white space at an end"));
    }
    HeaderValue::from_str(value).map_err(|_| invalid(name, "is no header value"))
}

/// A value with `%`, control characters, and white space at its ends escaped.
fn escaped(value: &str) -> Cow<'_, str> {
    let last = value.char_indices().next_back().map_or(0, |(at, _)| at);
    let stays = |(at, c): (usize, char)| c != '%' && !c.is_control() && !(c.is_whitespace() && (at == 0 || at == last));
    if value.char_indices().all(stays) {
        return Cow::Borrowed(value);
    }
    let mut escaped = String::with_capacity(value.len() + 8);
    for (at, c) in value.char_indices() {
        if stays((at, c)) {
            escaped.push(c);
        } else {
            c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| percent::push(byte, &mut escaped));
        }
    }
    Cow::Owned(escaped)
}

/// What the headers of a call say.
#[derive(Debug, Default)]
pub(crate) struct Read<'h> {
    pub(crate) message_type: &'h str,
    pub(crate) command_id: Option<CommandId>,
    /// Believed only where the server was told to.
    pub(crate) tenant: Option<&'h str>,
    /// Without the tenant.
    pub(crate) metadata: Metadata,
}

/// Reads the headers of a call. Headers of other names are someone else's.
///
/// # Errors
/// [`InvalidId`](Error::InvalidId), [`TooLarge`](Error::TooLarge) or [`InvalidRequest`](Error::InvalidRequest) for a header
/// that means nothing, or two things.
pub(crate) fn read(headers: &HeaderMap) -> Result<Read<'_>> {
    let mut read = Read::default();
    for (name, values) in headers.iter() {
        let name = text(name);
        // Most are written as we write them, and are compared once.
        if !read.take(name, values)? {
            read.take_written_otherwise(name, values, headers)?;
        }
    }
    Ok(read)
}

impl<'h> Read<'h> {
    /// Takes in a header of exactly this name; `false` when it has no meaning.
    #[inline]
    fn take(&mut self, name: &str, values: &'h [HeaderValue]) -> Result<bool> {
        let value = || match values {
            [value] => Ok(Some(value.as_str()).filter(|value| !value.is_empty())),
            _ => Err(twice(name)),
        };
        let id = || value().map(|value| value.map(str::to_owned));
        match name {
            MESSAGE_TYPE => self.message_type = value()?.unwrap_or_default(),
            COMMAND_ID => self.command_id = value()?.map(CommandId::new).transpose()?,
            TENANT_ID => self.tenant = value()?,
            PRINCIPAL_ID => self.metadata.principal_id = id()?,
            CORRELATION_ID => self.metadata.correlation_id = id()?,
            CAUSATION_ID => self.metadata.causation_id = id()?,
            TRACEPARENT => self.metadata.traceparent = id()?,
            _ => {
                let Some(key) = name.strip_prefix(ENTRY) else { return Ok(false) };
                let key = escape::text(key).ok_or_else(|| invalid(name, "has a key that is not escaped"))?;
                let value = percent::decode(value()?.unwrap_or_default())
                    .ok_or_else(|| invalid(name, "has a value with a `%` that is not escaped as `%25`"))?;
                if self.metadata.entries.insert(key, value.into_owned()).is_some() {
                    return Err(twice(name));
                }
            }
        }
        Ok(true)
    }

    /// Takes in a header whose name may be one of ours but for upper and lower case, as other programs write them.
    #[cold]
    fn take_written_otherwise(&mut self, written: &str, values: &'h [HeaderValue], all: &HeaderMap) -> Result<()> {
        if let Some(known) = NAMES.iter().find(|known| known.eq_ignore_ascii_case(written)) {
            // It may be there under two spellings, and then they may say two things.
            if all.iter().filter(|(name, _)| text(name).eq_ignore_ascii_case(known)).nth(1).is_some() {
                return Err(twice(known));
            }
            self.take(known, values)?;
        } else if let Some((prefix, key)) = written.split_at_checked(ENTRY.len())
            && prefix.eq_ignore_ascii_case(ENTRY)
        {
            self.take(&[ENTRY, key].concat(), values)?;
        }
        Ok(())
    }
}

/// A header's name as it is written.
pub(crate) fn text(name: &HeaderName) -> &str {
    name.as_ref()
}

fn twice(name: &str) -> Error {
    invalid(name, "is given more than once")
}

fn invalid(name: &str, why: &str) -> Error {
    Error::InvalidRequest { why: format!("the header {name} {why}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As a reader of the wire has it: values trimmed.
    fn arrived(headers: &HeaderMap) -> HeaderMap {
        let mut arrived = HeaderMap::new();
        for (name, values) in headers.iter() {
            for value in values {
                assert!(!value.as_str().contains(['\r', '\n']), "{value:?}");
                arrived.append(name.clone(), HeaderValue::from_str(value.as_str().trim()).unwrap());
            }
        }
        arrived
    }

    #[test]
    fn a_header_given_twice_is_refused() {
        let mut headers = HeaderMap::new();
        headers.append("Command-ID", "c-1");
        headers.append("Command-ID", "c-2");
        assert_eq!(
            read(&headers).unwrap_err().to_string(),
            "invalid request: the header Command-ID is given more than once"
        );
        for (one, other) in [("Command-ID", "command-id"), ("COMMAND-ID", "command-id"), ("Meta-a", "meta-a")] {
            let mut headers = HeaderMap::new();
            headers.insert(one, "1");
            headers.insert(other, "2");
            let error = read(&headers).unwrap_err().to_string();
            assert!(error.contains("is given more than once"), "{one}, {other}: {error}");
        }
    }

    #[test]
    fn a_header_is_read_however_its_name_is_written() {
        for spelling in [str::to_ascii_lowercase, str::to_ascii_uppercase] {
            let mut headers = HeaderMap::new();
            for name in NAMES {
                headers.insert(spelling(name), format!("a {name}").replace(' ', "-"));
            }
            headers.insert(format!("{}Color%2E", spelling(ENTRY)), "Blue");
            headers.insert(spelling("Metadata"), "someone else's");
            let read = read(&headers).unwrap();
            assert_eq!(read.message_type, "a-Message-Type");
            assert_eq!(read.command_id, Some(CommandId::new("a-Command-ID").unwrap()));
            assert_eq!(read.tenant, Some("a-Tenant-ID"));
            assert_eq!(read.metadata.principal_id.as_deref(), Some("a-Principal-ID"));
            assert_eq!(read.metadata.correlation_id.as_deref(), Some("a-Correlation-ID"));
            assert_eq!(read.metadata.causation_id.as_deref(), Some("a-Causation-ID"));
            assert_eq!(read.metadata.traceparent.as_deref(), Some("a-traceparent"));
            assert_eq!(read.metadata.entries, [("Color.".to_owned(), "Blue".to_owned())].into());
        }
    }

    #[test]
    fn an_entry_of_another_program_is_refused_when_it_is_not_escaped() {
        for (name, value) in [("Meta-rate", "100%"), ("Meta-a.b", "1"), ("Meta-", "1")] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value);
            assert!(read(&headers).is_err(), "{name}: {value}");
        }
    }

    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ -~]{0,20}",
            ".{0,40}",
            proptest::collection::vec(any::<char>(), 0..20).prop_map(String::from_iter)
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_or_refused(
            principal in any_text(), correlation in any_text(), causation in any_text(), trace in any_text(),
            entries in proptest::collection::btree_map(any_text(), any_text(), 0..4), id in "[!-~]{1,30}",
        ) {
            let mut metadata = Metadata::default()
                .principal(&principal).correlation(&correlation).causation(&causation).traceparent(&trace);
            metadata.entries = entries;
            let command = CommandId::new(&id).unwrap();
            let carried = [&principal, &correlation, &causation, &trace]
                .iter().all(|text| text.trim() == **text && !text.contains(char::is_control));
            match write("bank.v1.Deposit", Some(&command), &metadata) {
                Ok(headers) => {
                    prop_assert!(carried);
                    let headers = arrived(&headers);
                    let read = read(&headers).unwrap();
                    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
                    prop_assert_eq!(read.metadata.principal_id, some(&principal));
                    prop_assert_eq!(read.metadata.correlation_id, some(&correlation));
                    prop_assert_eq!(read.metadata.causation_id, some(&causation));
                    prop_assert_eq!(read.metadata.traceparent, some(&trace));
                    prop_assert_eq!(read.metadata.entries, metadata.entries);
                    prop_assert_eq!(read.command_id, Some(command));
                    prop_assert_eq!(read.message_type, "bank.v1.Deposit");
                    prop_assert_eq!(read.tenant, None);
                }
                Err(error) => prop_assert!(!carried, "{}", error),
            }
        }
    }
}
