//! Commands that come twice.

use futures_util::future::join_all;

use super::*;
use crate::{Answer, CommandId, CommandRecord, Outcome};

pub(super) fn record(id: &str, request: &[u8], answer: &str) -> CommandRecord {
    let mut payload_hash = [0; 32];
    payload_hash[..request.len()].copy_from_slice(request);
    CommandRecord {
        id: CommandId::new(id).unwrap(),
        payload_hash,
        answer: Answer::Accepted(answer.into()),
        stream: stream("a"),
        version: 1,
    }
}

fn rejection(id: &str) -> CommandRecord {
    CommandRecord { answer: Answer::Rejected(b"refused".to_vec()), version: 0, ..record(id, b"request", "") }
}

async fn replayed(store: &impl EventStore, commit: Commit) -> Outcome {
    match store.append(commit).await.unwrap() {
        Appended::Replayed(outcome) => *outcome,
        Appended::Committed(committed) => panic!("carried out again: {committed:?}"),
    }
}

async fn outcome(store: &impl EventStore, id: &str) -> Option<Outcome> {
    store.outcome(None, &CommandId::new(id).unwrap()).await.unwrap()
}

/// The second sending gets the first one's answer, byte for byte, whatever it would have answered itself.
pub async fn a_repeated_command_is_answered_from_the_record(store: &impl EventStore) {
    committed(store, to(stream("b"), Expected::Any, 3)).await;
    assert_eq!(outcome(store, "c-1").await, None);
    let first = record("c-1", b"request", "answer\0\u{ff}");
    let stored = committed(store, to(stream("a"), Expected::NoStream, 2).command(first.clone())).await;
    let again = record("c-1", b"request", "another answer");
    let outcome_of_append = replayed(store, to(stream("a"), Expected::Any, 1).command(again)).await;
    assert_eq!(outcome_of_append.record, first);
    assert_eq!((outcome_of_append.position, outcome_of_append.recorded_at), (stored.position, stored.recorded_at));
    assert_eq!(outcome(store, "c-1").await, Some(outcome_of_append));
    assert_eq!(store.head().await.unwrap(), 5);
}

/// A refusal is an answer too.
pub async fn a_rejected_command_is_answered_from_the_record(store: &impl EventStore) {
    let mut commit = Commit::new(crate::Metadata::default());
    commit.command = Some(rejection("c-1"));
    committed(store, commit).await;
    let again = to(stream("a"), Expected::Any, 1).command(record("c-1", b"request", "accepted after all"));
    assert_eq!(replayed(store, again).await.record, rejection("c-1"));
    assert_eq!(store.head().await.unwrap(), 0);
}

/// Nothing happened, and that is the answer from then on.
pub async fn a_command_without_events_is_recorded(store: &impl EventStore) {
    committed(store, to(stream("a"), Expected::NoStream, 3)).await;
    let nothing = to(stream("a"), Expected::Exact(3), 0).command(record("c-1", b"request", "nothing to do"));
    let stored = committed(store, nothing).await;
    assert_eq!((stored.position, &*stored.versions), (3, &[3][..]), "the head it was decided at");
    let outcome = outcome(store, "c-1").await.unwrap();
    assert_eq!((outcome.record.answer, outcome.position), (Answer::Accepted(b"nothing to do".to_vec()), 3));
}

/// A repeated creation is no conflict with itself.
pub async fn a_repeated_command_is_answered_before_versions_are_checked(store: &impl EventStore) {
    let create = || to(stream("a"), Expected::NoStream, 1).command(record("c-1", b"request", "created"));
    committed(store, create()).await;
    assert_eq!(replayed(store, create()).await.record.answer, Answer::Accepted(b"created".to_vec()));
}

/// An id names one command.
pub async fn a_command_id_with_another_payload_is_refused(store: &impl EventStore) {
    committed(store, to(stream("a"), Expected::Any, 1).command(record("c-1", b"request", "answer"))).await;
    let error = refused(store, to(stream("a"), Expected::Any, 1).command(record("c-1", b"other", "answer"))).await;
    assert!(matches!(&error, Error::CommandIdReused { command_id } if command_id.as_str() == "c-1"), "{error}");
    assert_eq!(store.head().await.unwrap(), 1);
}

/// One id in two tenants names two commands.
pub async fn command_ids_of_tenants_do_not_mix(store: &impl EventStore) {
    committed(store, to(stream("a"), Expected::Any, 1).command(record("c-1", b"request", "one"))).await;
    let other = tenant_stream("t1", "a");
    let mixed = to(other.clone(), Expected::Any, 1).command(record("c-1", b"other", "two"));
    assert!(matches!(refused(store, mixed).await, Error::InvalidRequest { .. }));
    let command = CommandRecord { stream: other.clone(), ..record("c-1", b"other", "two") };
    committed(store, to(other.clone(), Expected::Any, 1).command(command)).await;
    let outcome = store.outcome(other.tenant.as_ref(), &CommandId::new("c-1").unwrap()).await.unwrap().unwrap();
    assert_eq!((outcome.record.answer, outcome.record.stream), (Answer::Accepted(b"two".to_vec()), other));
}

/// What was not stored was not answered.
pub async fn a_command_whose_commit_fails_is_not_recorded(store: &impl EventStore) {
    refused(store, to(stream("a"), Expected::Exact(9), 1).command(record("c-1", b"request", "answer"))).await;
    assert_eq!(outcome(store, "c-1").await, None);
    committed(store, to(stream("a"), Expected::NoStream, 1).command(record("c-1", b"request", "answer"))).await;
}

/// Sent sixteen times at once, carried out once.
pub async fn of_many_sendings_of_one_command_one_is_carried_out(store: &impl EventStore) {
    let send = |sending: usize| {
        let command = record("c-1", b"request", &format!("answer {sending}"));
        store.append(to(stream("a"), Expected::Any, 1).command(command))
    };
    let answers: Vec<_> = join_all((0..16).map(send)).await.into_iter().map(Result::unwrap).collect();
    let carried_out = answers.iter().filter(|answer| matches!(answer, Appended::Committed(_))).count();
    assert_eq!(carried_out, 1);
    let recorded = outcome(store, "c-1").await.unwrap();
    for answer in answers {
        if let Appended::Replayed(outcome) = answer {
            assert_eq!(*outcome, recorded);
        }
    }
    assert_eq!(store.head().await.unwrap(), 1);
}
