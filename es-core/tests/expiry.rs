//! Commands that come after their answers were forgotten.

mod bank;

use std::time::{Duration, SystemTime};

use bank::{Accounts, command};
use es_core::{CommandId, Error, EventLog, EventStore, Request, Retry, ScheduleKey, ScheduledCommand, Timestamp};

const MINUTE: i64 = 60_000_000;

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// The time so many minutes later.
fn later(time: Timestamp, minutes: i64) -> Timestamp {
    Timestamp::from_micros(time.as_micros() + minutes * MINUTE)
}

/// An id that says it was made at this time.
fn made_at(time: Timestamp) -> CommandId {
    let since = Duration::from_micros(time.as_micros().unsigned_abs());
    let time = uuid::Timestamp::from_unix(uuid::NoContext, since.as_secs(), since.subsec_nanos());
    CommandId::new(uuid::Uuid::new_v7(time).to_string()).unwrap()
}

#[tokio::test]
async fn a_command_whose_answer_is_forgotten_is_refused_and_not_carried_out_again() {
    let (client, store) = Accounts::changing().client();
    let id = CommandId::random();
    let send = || client.decide(command("a", 5)).command_id(id.as_str()).into_future();
    assert!(!send().await.unwrap().receipt().replayed);
    let recorded_at = store.outcome(None, &id).await.unwrap().unwrap().recorded_at;

    // As long as there is an answer, that is the answer.
    store.forget_answers_before(recorded_at);
    assert!(send().await.unwrap().receipt().replayed);

    store.forget_answers_before(later(recorded_at, 1));
    for _ in 0..2 {
        let error = send().await.unwrap_err();
        assert!(matches!(&error, Error::CommandExpired { command_id } if *command_id == id), "{error}");
        assert_eq!(error.retry(), Retry::Never);
        let made = id.made_at().unwrap();
        assert!(error.to_string().contains(&format!("it was made at {made}")), "{error}");
    }
    assert_eq!(store.head().await.unwrap(), 1);
    assert_eq!(store.outcome(None, &id).await.unwrap(), None, "the refusal is not recorded");
}

#[tokio::test]
async fn an_hour_is_allowed_for_clocks_that_differ() {
    let (client, store) = Accounts::changing().client();
    let since = later(now(), -7 * 24 * 60);
    store.forget_answers_before(since);
    for (minutes, is_carried_out) in [(-60, false), (0, false), (59, false), (61, true), (60 * 24 * 30, true)] {
        let sent = client.decide(command("a", 5)).command_id(made_at(later(since, minutes)).as_str()).await;
        assert_eq!(sent.is_ok(), is_carried_out, "{minutes} minutes: {:?}", sent.err());
    }
    assert_eq!(store.head().await.unwrap(), 2);
}

#[tokio::test]
async fn an_id_without_a_time_does_not_expire() {
    let (client, store) = Accounts::changing().client();
    let send = || client.decide(command("a", 5)).command_id("c-1").into_future();
    send().await.unwrap();
    store.forget_answers_before(later(now(), 1));
    assert!(!send().await.unwrap().receipt().replayed);
    assert!(send().await.unwrap().receipt().replayed);
    assert_eq!(store.head().await.unwrap(), 2);
}

#[tokio::test]
async fn a_store_that_forgets_nothing_lets_no_command_expire() {
    let (client, _) = Accounts::changing().client();
    let first_of_all = made_at(Timestamp::default());
    client.decide(command("a", 5)).command_id(first_of_all.as_str()).await.unwrap();
}

#[test]
fn a_scheduled_command_has_an_id_that_can_not_expire_before_its_time() {
    let id = CommandId::random();
    let schedule = |id: &CommandId| {
        let mut request = Request::new("bank.v1.Bank", "Remind", "");
        request.command_id = Some(id.clone());
        ScheduledCommand::new(ScheduleKey::new("k").unwrap(), later(now(), 60 * 24 * 365), request)
    };
    let command = schedule(&id);
    assert_eq!(command.command_id().made_at(), None);
    assert_eq!(command.request().command_id.as_ref(), Some(command.command_id()));
    assert_eq!(schedule(&id).command_id(), command.command_id());
    assert_ne!(schedule(&CommandId::random()).command_id(), command.command_id());
    let own = CommandId::new("c-1").unwrap();
    assert_eq!(schedule(&own).command_id(), &own);
}
