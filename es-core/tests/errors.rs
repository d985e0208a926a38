//! What each error says, what a caller may do after it, and what a remote caller gets to see of it.

use std::{path::PathBuf, time::Duration};

use es_core::{
    AggregateId, AppError, CommandId, Encoding, Error, Retry, Status, StreamKey, Timestamp,
    error::{DecodeError, EncodeError},
};

fn stream() -> StreamKey {
    StreamKey::new(None, "bank.v1.Account", AggregateId::new("a").unwrap())
}

fn path() -> PathBuf {
    "bank.db".into()
}

/// Every error, with what may be done after it.
fn errors() -> Vec<(Error, Retry)> {
    use Retry::{Never, Safe, SameIdOnly};
    let command_id = CommandId::new("c-1").unwrap();
    let (waited, name) = (Duration::from_secs(5), || "balances".to_owned());
    vec![
        (Error::Rejected(AppError::not_found("NO_ACCOUNT", "there is none")), Never),
        (Error::Rejected(AppError::unavailable("LATER", "not now")), Safe),
        (Error::Rejected(AppError::new(Status::DeadlineExceeded, "LATE", "too late")), SameIdOnly),
        (Error::Conflict { stream: stream(), expected: "version 1".into(), actual: 2 }, Safe),
        (Error::UniqueTaken { constraint: "email".into() }, Never),
        (Error::CommandIdReused { command_id: command_id.clone() }, Never),
        (Error::CommandExpired { command_id: command_id.clone() }, Never),
        (Error::AlreadyEnlisted { stream: stream() }, Never),
        (Error::StillEnlisted { stream: stream() }, Never),
        (Error::Unsupported { what: "snapshots" }, Never),
        (Error::InvalidId { what: "tenant", why: "it is empty".into() }, Never),
        (Error::InvalidRequest { why: "it is none".into() }, Never),
        (Error::TooLarge { what: "event", limit: 1, actual: 2 }, Never),
        (Error::TooManyEvents { limit: 1, actual: 2 }, Never),
        (Error::NotServed { route: "bank.v1.Bank".into() }, Never),
        (Error::Encode(EncodeError::new("bank.v1.Opened", "no JSON")), Never),
        (Error::Decode { what: "it".into(), source: DecodeError::unknown_type("x") }, Never),
        (Error::UnknownEventType { stream: stream(), event_type: "x".into(), position: 3 }, Never),
        (Error::Corrupt { what: "event at position 3".into(), why: "its checksum differs".into() }, Never),
        (Error::HandlerPanicked { what: "a handler".into() }, Never),
        (Error::Busy { waited }, Safe),
        (Error::Backpressure { what: "the writer's queue" }, Safe),
        (Error::StorageFull { path: path(), source: "full".into() }, Safe),
        (Error::ReadOnly { path: path(), source: None }, Never),
        (Error::Io { what: "reading".into(), source: "broken disk".into() }, Never),
        (Error::Database { what: "a statement".into(), source: "no such table".into() }, Never),
        (Error::OutcomeUnknown { command_id: Some(command_id), source: None }, SameIdOnly),
        (Error::OutcomeUnknown { command_id: None, source: None }, SameIdOnly),
        (Error::NotAStore { path: path(), why: "it is a picture".into() }, Never),
        (Error::SchemaTooNew { path: path(), found: 9, supported: 1 }, Never),
        (Error::UnsafeEngine { version: "3.40.1".into(), why: "it can lose data" }, Never),
        (Error::StoreIdentityChanged { name: name(), expected: "s1".into(), actual: "s2".into() }, Never),
        (Error::CheckpointAhead { name: name(), checkpoint: 9, head: 3 }, Never),
        (Error::StoreRestored { name: name(), checkpoint: 9, restored_to: 3 }, Never),
        (Error::EpochUnknown { name: name(), epoch: 1, present: 2 }, Never),
        (Error::CheckpointMoved { name: name(), expected: 9 }, Safe),
        (Error::RebuildUnderWay { name: name() }, Safe),
        (Error::ProjectionChanged { name: name(), added: vec!["a".into()], removed: vec!["b".into()] }, Never),
        (Error::ProjectionFaulted { name: name(), position: 3, source: "no".into() }, Never),
        (Error::SendingUnfinished { name: name(), from: 3, to: 5, since: Timestamp::default() }, Never),
        (Error::UnknownProjection { name: name(), running: vec!["statements".into()] }, Never),
        (Error::NotCaughtUp { name: name(), checkpoint: 1, position: 3, waited }, Safe),
        (Error::Timeout { after: waited }, SameIdOnly),
        (Error::Unavailable { why: "nobody is there".into() }, Safe),
        (Error::ShuttingDown, Safe),
    ]
}

#[test]
fn each_error_says_whether_trying_again_is_safe() {
    for (error, retry) in errors() {
        assert_eq!(error.retry(), retry, "{error:?}");
    }
}

#[test]
fn messages_begin_in_lower_case_and_end_without_a_full_stop() {
    for (error, _) in errors() {
        let message = error.to_string();
        // A refusal begins with its code, and names keep their spelling.
        let begins_with_name = matches!(error, Error::Rejected(_) | Error::UnsafeEngine { .. });
        assert!(begins_with_name || !message.starts_with(char::is_uppercase), "{message}");
        assert!(!message.ends_with('.') && !message.is_empty(), "{message}");
    }
}

#[test]
fn an_error_on_its_way_through_a_handler_keeps_its_kind() {
    for (error, retry) in errors() {
        let answer = AppError::from(error);
        assert_eq!(answer.retry(), retry, "{answer:?}");
    }
}

#[test]
fn a_remote_caller_sees_a_code_and_no_path_or_cause() {
    for (error, _) in errors() {
        let answer = AppError::from(error);
        assert!(!answer.code().is_empty());
        for secret in ["bank.db", "broken disk", "no such table", "checksum", "full\""] {
            assert!(!answer.to_string().contains(secret), "{answer}");
        }
    }
}

#[test]
fn debug_reads_like_a_message_with_its_causes() {
    let error = Error::Decode { what: "the event".into(), source: DecodeError::malformed("it ends early") };
    assert_eq!(format!("{error:?}"), "cannot decode the event\n  caused by: it ends early");
}

#[test]
fn a_wrong_encoding_names_both() {
    let error = DecodeError::expect_encoding(Encoding::Json, Encoding::Protobuf).unwrap_err();
    assert_eq!(error.to_string(), "encoded as Protobuf, expected Json");
}
