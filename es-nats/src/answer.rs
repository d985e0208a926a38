//! The answer to a call, as the body of the reply: written by servers, read by transports.

use es_core::{AppError, CommandId, Error, Receipt, Response, Result, Status, error::DecodeError, prost_types, wire};
use prost::Message;

const ANY: &str = "type.googleapis.com/";

/// The body of a reply that says yes.
pub(crate) fn write(response: Response) -> Vec<u8> {
    let Response { data, message_type, receipt, .. } = response;
    let answer = wire::Response {
        success: true,
        error: None,
        data: Some(prost_types::Any { type_url: [ANY, &message_type].concat(), value: data }),
        receipt: receipt.as_ref().map(Into::into),
    };
    answer.encode_to_vec()
}

/// The body of a reply that says no.
pub(crate) fn refusal(error: &AppError) -> wire::Response {
    wire::Response { success: false, error: Some(error.into()), data: None, receipt: None }
}

/// Reads the body of a reply to a call of this route.
///
/// # Errors
/// What the service says; [`Decode`](Error::Decode) for what is no answer.
pub(crate) fn read(body: &[u8], route: impl Fn() -> String, command: Option<&CommandId>) -> Result<Response> {
    let not_one =
        |why: String| Error::Decode { what: format!("the answer of {}", route()), source: DecodeError::malformed(why) };
    let response = wire::Response::decode(body).map_err(|error| not_one(error.to_string()))?;
    if !response.success {
        let error = response.error.ok_or_else(|| not_one("it is neither a success nor an error".into()))?;
        return Err(restore(error.into(), &route, command));
    }
    let prost_types::Any { type_url, value } = response.data.unwrap_or_default();
    let message_type = type_url.rsplit_once('/').map_or(&*type_url, |(_, name)| name).to_owned();
    let receipt = response.receipt.map(Receipt::try_from).transpose()?;
    Ok(Response::new(message_type, value, receipt))
}

/// The errors a caller tells apart by their kind, as that kind; every other as the refusal it is.
fn restore(error: AppError, route: &impl Fn() -> String, command: Option<&CommandId>) -> Error {
    match (error.status(), error.code(), command) {
        (Status::Unimplemented, "NOT_SERVED", _) => Error::NotServed { route: route() },
        (Status::ResourceExhausted, "BACKPRESSURE", _) => Error::Backpressure { what: "the server" },
        (Status::InvalidArgument, "COMMAND_ID_REUSED", Some(id)) => Error::CommandIdReused { command_id: id.clone() },
        (Status::FailedPrecondition, "COMMAND_EXPIRED", Some(id)) => Error::CommandExpired { command_id: id.clone() },
        (Status::Unknown, "OUTCOME_UNKNOWN", Some(_)) | (Status::DeadlineExceeded, "TIMEOUT", Some(_)) => {
            Error::OutcomeUnknown { command_id: command.cloned(), source: Some(Box::new(error)) }
        }
        _ => Error::Rejected(error),
    }
}

#[cfg(test)]
mod tests {
    use es_core::{AggregateId, Retry, StreamKey};

    use super::*;

    fn id() -> CommandId {
        CommandId::new("c-1").unwrap()
    }

    fn refused(error: Error) -> Vec<u8> {
        refusal(&AppError::from(error)).encode_to_vec()
    }

    #[test]
    fn an_answer_comes_back_as_it_was() {
        let stream = StreamKey::new(None, "bank.v1.Account", AggregateId::new("a").unwrap());
        let receipt = Receipt { stream, version: 3, position: 17, replayed: true };
        let response = Response::new("bank.v1.DepositResponse", [1, 2, 3], Some(receipt));
        assert_eq!(read(&write(response.clone()), || "s.M".into(), None).unwrap(), response);
    }

    #[test]
    fn a_refusal_comes_back_with_all_it_says() {
        let refusal = AppError::failed_precondition("CLOSED", "it is closed").solution("open it").detail("since", 3);
        let Error::Rejected(read) = read(&refused(refusal.clone().into()), || "s.M".into(), None).unwrap_err() else {
            panic!()
        };
        assert_eq!(read, refusal);
    }

    #[test]
    fn errors_of_the_way_keep_their_kind() {
        let back = |error: Error| read(&refused(error), || "s.M".into(), Some(&id())).unwrap_err();
        assert!(matches!(back(Error::NotServed { route: "x".into() }), Error::NotServed { route } if route == "s.M"));
        assert!(matches!(back(Error::Backpressure { what: "x" }), Error::Backpressure { .. }));
        assert!(matches!(back(Error::CommandIdReused { command_id: id() }), Error::CommandIdReused { .. }));
        assert!(matches!(back(Error::CommandExpired { command_id: id() }), Error::CommandExpired { .. }));
        for unknown in [
            Error::Timeout { after: std::time::Duration::ZERO },
            Error::OutcomeUnknown { command_id: None, source: None },
        ] {
            assert!(matches!(back(unknown), Error::OutcomeUnknown { command_id: Some(found), .. } if found == id()));
        }
        let unavailable = back(Error::Unavailable { why: "secret".into() });
        assert_eq!(unavailable.retry(), Retry::Safe);
        assert!(!unavailable.to_string().contains("secret"));
    }

    #[test]
    fn what_is_no_answer_is_an_error_and_not_a_success() {
        for body in [&[][..], &[0xff, 1, 2], &[8, 0]] {
            assert!(matches!(read(body, || "s.M".into(), None), Err(Error::Decode { .. })), "{body:?}");
        }
    }
}
