//! The stored form of a scheduled command.

use prost::Message;

use super::ScheduledCommand;
use crate::{
    CommandId, Metadata, Request, Result, ScheduleKey, Tenant, Timestamp,
    error::{DecodeError, Error},
    wire,
};

impl ScheduledCommand {
    /// The form a store keeps: an encoded [`wire::ScheduledRequest`]. Tenant, key and time stand beside it.
    pub fn to_stored(&self) -> Vec<u8> {
        let Request { service, method, message_type, metadata, body, .. } = &self.request;
        let text = |id: &Option<String>| id.clone().unwrap_or_default();
        let metadata = wire::EventMetadata {
            command_id: self.id.to_string(),
            correlation_id: text(&metadata.correlation_id),
            causation_id: text(&metadata.causation_id),
            principal_id: text(&metadata.principal_id),
            traceparent: text(&metadata.traceparent),
            entries: metadata.entries.clone(),
            claims: Vec::new(),
        };
        wire::ScheduledRequest {
            service: service.to_string(),
            method: method.to_string(),
            message_type: message_type.to_string(),
            metadata: Some(metadata),
            body: body.clone(),
        }
        .encode_to_vec()
    }

    /// The command of a stored form.
    ///
    /// # Errors
    /// [`Error::Decode`] where it is none.
    pub fn from_stored(tenant: Option<Tenant>, key: ScheduleKey, due: Timestamp, stored: &[u8]) -> Result<Self> {
        let undecodable = |source| Error::Decode { what: format!("the command scheduled under `{key}`"), source };
        let stored =
            wire::ScheduledRequest::decode(stored).map_err(|error| undecodable(DecodeError::malformed(error)))?;
        let said = stored.metadata.unwrap_or_default();
        let id = CommandId::new(&said.command_id).map_err(|error| undecodable(DecodeError::malformed(error)))?;
        let text = |id: String| if id.is_empty() { None } else { Some(id) };
        let mut request = Request::new(stored.service, stored.method, stored.body);
        request.message_type = stored.message_type.into();
        request.command_id = Some(id.clone());
        request.metadata = Metadata {
            tenant,
            correlation_id: text(said.correlation_id),
            causation_id: text(said.causation_id),
            principal_id: text(said.principal_id),
            traceparent: text(said.traceparent),
            entries: said.entries,
        };
        Ok(Self { key, due, id, request })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(request: Request) -> ScheduledCommand {
        ScheduledCommand::new(ScheduleKey::new("k").unwrap(), Timestamp::from_micros(7), request)
    }

    #[test]
    fn a_command_survives_the_way_through_its_stored_form() {
        let mut request = Request::new("bank.v1.Bank", "Remind", b"\0body".to_vec());
        request.message_type = "bank.v1.RemindCommand".into();
        request.metadata = Metadata::default()
            .tenant(Tenant::new("t1").unwrap())
            .correlation("c")
            .causation("e")
            .principal("alice")
            .traceparent("00-1-2-3")
            .entry("channel", "web");
        let scheduled = command(request);
        let (tenant, key) = (scheduled.tenant().cloned(), scheduled.key().clone());
        let read = ScheduledCommand::from_stored(tenant, key, scheduled.due(), &scheduled.to_stored()).unwrap();
        assert_eq!(read, scheduled);
    }

    #[test]
    fn what_is_no_stored_form_is_refused_by_its_key() {
        for stored in [&b"\xff\xff"[..], b""] {
            let key = ScheduleKey::new("k").unwrap();
            let error = ScheduledCommand::from_stored(None, key, Timestamp::default(), stored).unwrap_err();
            assert_eq!(error.to_string(), "cannot decode the command scheduled under `k`");
        }
    }

    #[test]
    fn an_id_is_made_of_everything_that_tells_commands_apart() {
        let request = |body: &str| Request::new("bank.v1.Bank", "Remind", body);
        let key = |key: &str| ScheduleKey::new(key).unwrap();
        let at = Timestamp::from_micros;
        let of_tenant = Metadata::default().tenant(Tenant::new("t1").unwrap());
        let base = ScheduledCommand::new(key("k"), at(7), request("a")).id;
        assert_eq!(ScheduledCommand::new(key("k"), at(7), request("a")).id, base);
        let others = [
            ScheduledCommand::new(key("l"), at(7), request("a")),
            ScheduledCommand::new(key("k"), at(8), request("a")),
            ScheduledCommand::new(key("k"), at(7), request("b")),
            ScheduledCommand::new(key("k"), at(7), Request::new("bank.v1.Bank", "Close", "a")),
            ScheduledCommand::new(key("k"), at(7), Request { metadata: of_tenant, ..request("a") }),
        ];
        for (at, other) in others.iter().enumerate() {
            assert_ne!(other.id, base, "{at}");
        }
        let mut given = request("a");
        given.command_id = Some(CommandId::new("c-1").unwrap());
        assert_eq!(command(given).command_id().as_str(), "c-1");
    }
}
