//! What becomes of a command, from the client to the store and back.

mod bank;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bank::{AccountRepository, Accounts, Changed, answer, command, open};
use es_core::{
    AppError, Commit, Error, EventLog, EventStore, Expected, Filter, Limits, LocalBus, MemoryStore, Metadata, NewEvent,
    Request, Retry, Status, SystemClock, Tenant, Transport, ensure,
};
use futures_util::future::join_all;
use prost::Message;

#[tokio::test]
async fn an_accepted_command_answers_with_its_response_and_a_receipt() {
    let (client, store) = Accounts::changing().client();
    client.decide(command("a", 5)).await.unwrap();
    let reply = client.decide(command("a", 2)).await.unwrap();
    assert_eq!((reply.cents, &*reply.account_id), (7, "a"));
    let receipt = reply.receipt();
    assert_eq!((receipt.version, receipt.position, receipt.replayed), (2, 2, false));
    assert_eq!(receipt.stream.to_string(), "bank.v1.Account/a");
    assert_eq!(store.head().await.unwrap(), 2);
}

#[tokio::test]
async fn a_repeated_command_is_carried_out_once_and_answered_the_same() {
    let (client, store) = Accounts::changing().client();
    let first = client.decide(command("a", 5)).command_id("c-1").await.unwrap();
    client.decide(command("a", 100)).await.unwrap();
    let again = client.decide(command("a", 5)).command_id("c-1").await.unwrap();
    assert_eq!(*again, *first);
    assert_eq!((again.receipt().version, again.receipt().position, again.receipt().replayed), (1, 1, true));
    assert_eq!(store.head().await.unwrap(), 2);
}

#[tokio::test]
async fn a_refusal_is_recorded_too_even_when_it_would_be_accepted_now() {
    let accounts = Accounts::deciding(|account, command, _| {
        Box::pin(async move {
            ensure!(account.cents + command.cents >= 0, AppError::failed_precondition("TOO_LOW", "no").detail("by", 5));
            account.emit(Changed { cents: command.cents });
            Ok(answer(account))
        })
    });
    let (client, _) = accounts.client();
    let refusal = |error: Error| match error {
        Error::Rejected(refusal) => refusal,
        error => panic!("{error}"),
    };
    let first = refusal(client.decide(command("a", -5)).command_id("c-1").await.unwrap_err());
    client.decide(command("a", 100)).await.unwrap();
    let again = refusal(client.decide(command("a", -5)).command_id("c-1").await.unwrap_err());
    assert_eq!(again, first);
    assert_eq!((again.code(), again.status()), ("TOO_LOW", Status::FailedPrecondition));
    client.decide(command("a", -5)).await.unwrap();
}

#[tokio::test]
async fn a_repeated_command_gets_its_recorded_answer_whatever_its_handler_does_now() {
    let now = Arc::new(AtomicU32::new(0));
    let state = Arc::clone(&now);
    let accounts = Accounts::deciding(move |account, command, _| {
        let now = state.load(Ordering::SeqCst);
        Box::pin(async move {
            ensure!(now != 1, AppError::unavailable("LATER", "not recorded"));
            ensure!(now != 2, AppError::failed_precondition("NO", "recorded, if it were the first answer"));
            assert!(now != 3, "a handler that panics, on purpose");
            account.emit(Changed { cents: command.cents });
            Ok(answer(account))
        })
    });
    let (client, store) = accounts.client();
    let first = client.decide(command("a", 5)).command_id("c-1").await.unwrap();
    for state in 1..=3 {
        now.store(state, Ordering::SeqCst);
        let again = client.decide(command("a", 5)).command_id("c-1").await.unwrap();
        assert_eq!((&*again, again.receipt().replayed), (&*first, true), "in state {state}");
        let reused = client.decide(command("a", 6)).command_id("c-1").await.unwrap_err();
        assert!(matches!(reused, Error::CommandIdReused { .. }), "in state {state}: {reused}");
    }
    let stream = first.receipt().stream.clone();
    store.append(Commit::append(stream, Expected::Any, vec![NewEvent::raw("x.Unknown", "")])).await.unwrap();
    let unreadable = Accounts::changing().client_on(store.clone());
    assert_eq!(*unreadable.decide(command("a", 5)).command_id("c-1").await.unwrap(), *first);
    unreadable.decide(command("a", 5)).command_id("c-2").await.unwrap_err();
}

#[tokio::test]
async fn a_refusal_of_the_moment_is_not_recorded() {
    let tries = Arc::new(AtomicU32::new(0));
    let accounts = Accounts::deciding(move |account, _, _| {
        let first = tries.fetch_add(1, Ordering::SeqCst) == 0;
        Box::pin(async move {
            ensure!(!first, AppError::unavailable("LATER", "the rates are not in yet"));
            Ok(answer(account))
        })
    });
    let (client, _) = accounts.client();
    let error = client.decide(command("a", 1)).command_id("c-1").await.unwrap_err();
    assert_eq!(error.retry(), Retry::Safe);
    assert!(!client.decide(command("a", 1)).command_id("c-1").await.unwrap().receipt().replayed);
}

#[tokio::test]
async fn a_command_that_emits_nothing_is_recorded_and_tells_the_head() {
    let accounts = Accounts::deciding(|account, _, _| Box::pin(async move { Ok(answer(account)) }));
    let (client, store) = accounts.client();
    client.open(open("Ada")).await.unwrap();
    let first = client.decide(command("a", 1)).command_id("c-1").await.unwrap();
    assert_eq!((first.receipt().version, first.receipt().position), (0, 1));
    assert!(client.decide(command("a", 1)).command_id("c-1").await.unwrap().receipt().replayed);
    assert_eq!(client.decide(command("a", 1)).await.unwrap().receipt().position, 1);
    assert_eq!(store.head().await.unwrap(), 1);
}

#[tokio::test]
async fn a_command_id_used_for_another_command_is_refused() {
    let (client, _) = Accounts::changing().client();
    client.decide(command("a", 5)).command_id("c-1").await.unwrap();
    for error in [
        client.decide(command("a", 6)).command_id("c-1").await.unwrap_err(),
        client.register(command("a", 5)).command_id("c-1").await.unwrap_err(),
    ] {
        assert!(matches!(&error, Error::CommandIdReused { command_id } if command_id.as_str() == "c-1"), "{error}");
    }
}

#[tokio::test]
async fn one_command_in_another_encoding_is_the_same_command() {
    let (client, store) = Accounts::changing().client();
    client.decide(command("a", 5)).command_id("c-1").await.unwrap();
    // Fields the other way round, as another protobuf library may write them, and one we don't know.
    let mut body = vec![0x10, 5, 0x0a, 1, b'a'];
    body.extend([0x98, 0x06, 1]);
    assert_ne!(body, command("a", 5).encode_to_vec());
    let mut request = Request::new("bank.v1.AccountService", "Decide", body);
    request.command_id = Some("c-1".try_into().unwrap());
    let bus =
        LocalBus::new().serve(bank::AccountServiceServer::new(Accounts::changing(), AccountRepository::new(store)));
    let response = bus.transport().call(request).await.unwrap();
    assert!(response.receipt.unwrap().replayed);
}

#[tokio::test]
async fn sixteen_clients_of_one_account_lose_nothing() {
    let (client, store) = Accounts::changing().client();
    let send = |n: i64| {
        let client = client.clone();
        async move {
            while let Err(error) = client.decide(command("a", n)).await {
                assert!(matches!(error, Error::Conflict { .. }), "{error}");
            }
        }
    };
    join_all((1..=16).map(send)).await;
    assert_eq!(AccountRepository::new(store).load("a").await.unwrap().cents, (1..=16).sum::<i64>());
}

#[tokio::test]
async fn a_created_aggregate_gets_an_id_from_its_command_so_a_retry_makes_the_same() {
    let (client, store) = Accounts::changing().client();
    let first = client.open(open("Ada")).command_id("c-1").await.unwrap();
    let again = client.open(open("Ada")).command_id("c-1").await.unwrap();
    assert_eq!((&first.account_id, again.receipt().replayed), (&again.account_id, true));
    let other = client.open(open("Bob")).command_id("c-2").await.unwrap();
    let random = client.open(open("Eve")).await.unwrap();
    assert!(other.account_id != first.account_id && random.account_id != first.account_id);
    assert_eq!(store.head().await.unwrap(), 3);
}

#[tokio::test]
async fn creating_what_exists_is_refused() {
    let (client, store) = Accounts::changing().client();
    client.register(command("a", 0)).await.unwrap();
    for _ in 0..2 {
        let error = client.register(command("a", 0)).command_id("c-1").await.unwrap_err();
        assert!(
            matches!(&error, Error::Rejected(refusal) if refusal.status() == Status::AlreadyExists),
            "recorded, and answered the same: {error}"
        );
    }
    assert_eq!(store.head().await.unwrap(), 1);
}

#[tokio::test]
async fn a_taken_key_names_its_constraint_only() {
    let (client, _) = Accounts::changing().client();
    client.open(open("Ada")).await.unwrap();
    let error = client.open(open("Ada")).await.unwrap_err();
    assert_eq!(error.to_string(), "the value is already taken (unique constraint `owner`)");
}

#[tokio::test]
async fn a_panicking_handler_is_an_error_for_its_caller_and_every_other_command_goes_on() {
    let accounts = Accounts::deciding(|account, command, _| {
        Box::pin(async move {
            account.emit(Changed { cents: command.cents });
            assert!(command.cents != 13, "a handler that panics, on purpose");
            Ok(answer(account))
        })
    });
    let (client, store) = accounts.client();
    let error = client.decide(command("a", 13)).command_id("c-1").await.unwrap_err();
    assert_eq!(error.to_string(), "the handler of bank.v1.AccountService.Decide panicked");
    assert_eq!(client.decide(command("a", 1)).await.unwrap().cents, 1);
    assert_eq!(store.head().await.unwrap(), 1);
}

#[tokio::test]
async fn what_the_caller_says_is_stored_with_the_events_and_told_to_the_handler() {
    let accounts = Accounts::deciding(|account, _, context| {
        Box::pin(async move {
            assert_eq!((context.principal(), context.correlation_id()), (Some("alice"), Some("order-17")));
            assert_eq!(context.tenant().unwrap().as_str(), "t1");
            account.emit(Changed { cents: 1 });
            Ok(answer(account))
        })
    });
    let (client, store) = accounts.client();
    let client = client.with(Metadata::default().correlation("order-17").principal("nobody").entry("channel", "web"));
    client.decide(command("a", 1)).command_id("c-1").tenant("t1").principal("alice").causation("e-4").await.unwrap();
    let page = store.read_all(0, 10, &Filter::all()).await.unwrap();
    let meta = &page.events[0].meta;
    assert_eq!(meta.stream.tenant, Some(Tenant::new("t1").unwrap()));
    let origin = meta.origin().unwrap();
    let ids = [&origin.command_id, &origin.principal_id, &origin.correlation_id, &origin.causation_id];
    assert_eq!(ids.map(|id| id.as_deref().unwrap()), ["c-1", "alice", "order-17", "e-4"]);
    assert_eq!(origin.entries["channel"], "web");
}

#[tokio::test]
async fn tenants_have_accounts_and_command_ids_of_their_own() {
    let (client, _) = Accounts::changing().client();
    for tenant in ["t1", "t2"] {
        let reply = client.decide(command("a", 5)).tenant(tenant).command_id("c-1").await.unwrap();
        assert_eq!((reply.cents, reply.receipt().replayed), (5, false));
        assert_eq!(reply.receipt().stream.to_string(), format!("{tenant}:bank.v1.Account/a"));
    }
}

#[tokio::test]
async fn bad_ids_and_oversized_commands_are_refused_with_the_reason() {
    let limits = Limits { command_bytes: 64, id_bytes: 10, ..Limits::default() };
    let client = Accounts::changing().client_on(MemoryStore::with(limits, SystemClock));
    let message = async |call: es_core::Call<bank::Answer>| call.await.unwrap_err().to_string();
    assert_eq!(message(client.decide(command("", 1))).await, "invalid aggregate id: it is empty");
    let expected = "invalid aggregate id: it has the control character U+000A at byte 1";
    assert_eq!(message(client.decide(command("a\nb", 1))).await, expected);
    let expected = "the aggregate id is too large: 11 bytes, the limit is 10";
    assert_eq!(message(client.decide(command("elevenbytes", 1))).await, expected);
    let expected = "the command is too large: 72 bytes, the limit is 64";
    assert_eq!(message(client.decide(command(&"x".repeat(70), 0))).await, expected);
    let expected = "invalid command id: it has the whitespace character U+0020 at byte 1";
    assert_eq!(message(client.decide(command("a", 1)).command_id("c 1")).await, expected);
    assert_eq!(message(client.decide(command("a", 1)).tenant("")).await, "invalid tenant: it is empty");
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_unknown_and_its_repetition_tells() {
    let accounts = Accounts::deciding(|account, command, _| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(u64::try_from(command.cents).unwrap())).await;
            Ok(answer(account))
        })
    });
    let (client, _) = accounts.client();
    let error = client.decide(command("a", 5_000)).timeout(Duration::from_millis(20)).await.unwrap_err();
    assert_eq!((error.to_string(), error.retry()), ("no answer within 20ms".to_owned(), Retry::SameIdOnly));
    client.decide(command("a", 1)).timeout(Duration::from_secs(5)).await.unwrap();
}
