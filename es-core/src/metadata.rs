//! What is known about a command and its events beside their content.

use std::collections::BTreeMap;

use prost::encoding::{WireType, btree_map, encode_key, encode_varint, message, string};

use crate::{ClaimChange, CommandId, Tenant, wire};

/// What a caller says about a call; it is stored with the events the call causes.
///
/// ```
/// # use es_core::Metadata;
/// let metadata = Metadata::default().principal("alice").correlation("order-17").entry("channel", "web");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// The tenant the call is for.
    pub tenant: Option<Tenant>,
    /// What belongs together: shared by all that follows from one request.
    pub correlation_id: Option<String>,
    /// The command or event that caused this call.
    pub causation_id: Option<String>,
    /// Who makes the call.
    pub principal_id: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Anything else worth storing.
    pub entries: BTreeMap<String, String>,
}

impl Metadata {
    /// Sets the tenant.
    #[must_use]
    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Sets who makes the call.
    #[must_use]
    pub fn principal(mut self, id: impl Into<String>) -> Self {
        self.principal_id = Some(id.into());
        self
    }

    /// Sets what the call belongs to.
    #[must_use]
    pub fn correlation(mut self, id: impl Into<String>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }

    /// Sets what caused the call.
    #[must_use]
    pub fn causation(mut self, id: impl Into<String>) -> Self {
        self.causation_id = Some(id.into());
        self
    }

    /// Sets the W3C trace context.
    #[must_use]
    pub fn traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.traceparent = Some(traceparent.into());
        self
    }

    /// Adds an entry of the caller's own.
    #[must_use]
    pub fn entry(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.entries.insert(key.into(), value.into());
        self
    }

    /// This metadata, with what it leaves open taken from `defaults`.
    pub(crate) fn or(mut self, defaults: &Self) -> Self {
        self.tenant = self.tenant.or_else(|| defaults.tenant.clone());
        self.correlation_id = self.correlation_id.or_else(|| defaults.correlation_id.clone());
        self.causation_id = self.causation_id.or_else(|| defaults.causation_id.clone());
        self.principal_id = self.principal_id.or_else(|| defaults.principal_id.clone());
        self.traceparent = self.traceparent.or_else(|| defaults.traceparent.clone());
        for (key, value) in &defaults.entries {
            self.entries.entry(key.clone()).or_insert_with(|| value.clone());
        }
        self
    }

    /// Bytes of the stored form, command id and claims left out; what
    /// [`Limits::metadata_bytes`](crate::Limits) limits.
    pub fn encoded_len(&self) -> usize {
        let length = |(tag, id): (u32, &Option<String>)| {
            id.as_ref().filter(|id| !id.is_empty()).map_or(0, |id| string::encoded_len(tag, id))
        };
        self.ids().into_iter().map(length).sum::<usize>()
            + btree_map::encoded_len(string::encoded_len, string::encoded_len, 6, &self.entries)
    }

    /// The form stored beside an event: an encoded [`wire::EventMetadata`](crate::wire::EventMetadata).
    pub fn to_stored(&self, command: Option<&CommandId>, claims: &[ClaimChange]) -> Vec<u8> {
        // Written field by field, because the message would need a copy of every text.
        let mut stored = Vec::with_capacity(self.encoded_len() + command.map_or(0, |id| id.as_str().len() + 3));
        text(1, command.map_or("", CommandId::as_str), &mut stored);
        for (tag, id) in self.ids() {
            text(tag, id.as_deref().unwrap_or_default(), &mut stored);
        }
        btree_map::encode(
            string::encode,
            string::encoded_len,
            string::encode,
            string::encoded_len,
            6,
            &self.entries,
            &mut stored,
        );
        for claim in claims {
            message::encode(7, &wire::ClaimChange::from(claim), &mut stored);
        }
        stored
    }

    /// The ids, with their tags in the stored form.
    fn ids(&self) -> [(u32, &Option<String>); 4] {
        [(2, &self.correlation_id), (3, &self.causation_id), (4, &self.principal_id), (5, &self.traceparent)]
    }
}

/// Appends a text field, as proto3 does: an empty one is left out.
fn text(tag: u32, text: &str, stored: &mut Vec<u8>) {
    if !text.is_empty() {
        encode_key(tag, WireType::LengthDelimited, stored);
        encode_varint(text.len() as u64, stored);
        stored.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    fn full() -> Metadata {
        Metadata::default()
            .correlation("c".repeat(200))
            .causation("")
            .principal("alice")
            .traceparent("00-1-2-3")
            .entry("channel", "web")
            .entry("", "e".repeat(300))
    }

    #[test]
    fn the_stored_form_is_the_encoded_message() {
        let command = CommandId::new("c-1").unwrap();
        let claim = |release| ClaimChange { constraint: "email".into(), key: "ada@x".into(), release };
        let claims = [claim(false), claim(true)];
        let message = wire::EventMetadata {
            command_id: "c-1".into(),
            correlation_id: "c".repeat(200),
            causation_id: String::new(),
            principal_id: "alice".into(),
            traceparent: "00-1-2-3".into(),
            entries: full().entries,
            claims: claims.iter().map(Into::into).collect(),
        };
        assert_eq!(full().to_stored(Some(&command), &claims), message.encode_to_vec());
        assert_eq!(Metadata::default().to_stored(None, &[]), b"");
    }

    #[test]
    fn the_length_is_told_without_encoding() {
        for metadata in [Metadata::default(), full()] {
            assert_eq!(metadata.encoded_len(), metadata.to_stored(None, &[]).len());
        }
    }
}
