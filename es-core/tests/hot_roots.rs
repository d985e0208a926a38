//! Aggregates that stay in memory between commands.

mod bank;

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bank::{Account, AccountEvent, AccountRepository, AccountServiceClient, Accounts, Changed, answer, command, open};
use es_core::{
    AggregateId, AppError, Commit, Error, EventLog, EventStore, Expected, Filter, LocalBus, MemoryStore, NewEvent,
    Root, StreamKey, ensure,
};
use futures_util::future::join_all;

/// Withdraws, if there is enough.
fn withdrawing() -> Accounts {
    Accounts::deciding(|account, command, _| {
        Box::pin(async move {
            ensure!(command.cents <= account.cents, AppError::failed_precondition("TOO_LOW", "no"));
            if command.cents != 0 {
                account.emit(Changed { cents: -command.cents });
            }
            Ok(answer(account))
        })
    })
}

/// As if another process wrote to the account `a`.
async fn elsewhere(store: &MemoryStore, cents: i64) {
    let stream = StreamKey::of::<Account>(AggregateId::new("a").unwrap());
    let changed = NewEvent::encode(&AccountEvent::from(Changed { cents })).unwrap();
    store.append(Commit::append(stream, Expected::Any, vec![changed])).await.unwrap();
}

/// A client of a bank that has account `a` in memory, with 10 cents.
async fn warmed_up() -> (AccountServiceClient, MemoryStore) {
    let (client, store) = withdrawing().client();
    elsewhere(&store, 11).await;
    client.decide(command("a", 1)).await.unwrap();
    (client, store)
}

#[tokio::test]
async fn a_refusal_decided_on_a_stale_state_is_made_again_on_a_fresh_one() {
    for id in [None, Some("c-1")] {
        let (client, store) = warmed_up().await;
        elsewhere(&store, 90).await;
        let mut call = client.decide(command("a", 100));
        if let Some(id) = id {
            call = call.command_id(id);
        }
        assert_eq!(call.await.unwrap().cents, 0, "with id {id:?}");
    }
}

#[tokio::test]
async fn an_acceptance_decided_on_a_stale_state_is_made_again_on_a_fresh_one() {
    let (client, store) = warmed_up().await;
    elsewhere(&store, -10).await;
    let error = client.decide(command("a", 10)).await.unwrap_err();
    assert!(matches!(&error, Error::Rejected(refusal) if refusal.code() == "TOO_LOW"), "{error}");
}

#[tokio::test]
async fn an_answer_without_events_is_given_on_a_fresh_state() {
    for id in [None, Some("c-1")] {
        let (client, store) = warmed_up().await;
        elsewhere(&store, 90).await;
        let mut call = client.decide(command("a", 0));
        if let Some(id) = id {
            call = call.command_id(id);
        }
        assert_eq!(call.await.unwrap().cents, 100, "with id {id:?}");
    }
}

#[tokio::test]
async fn what_a_refused_command_emitted_is_not_remembered() {
    let accounts = Accounts::deciding(|account, command, _| {
        Box::pin(async move {
            account.emit(Changed { cents: command.cents });
            ensure!(account.cents < 100, AppError::failed_precondition("TOO_MUCH", "no"));
            Ok(answer(account))
        })
    });
    let (client, _) = accounts.client();
    client.decide(command("a", 5)).await.unwrap();
    client.decide(command("a", 500)).await.unwrap_err();
    assert_eq!(client.decide(command("a", 1)).await.unwrap().cents, 6);
}

#[tokio::test]
async fn what_a_replayed_or_panicked_command_emitted_is_not_remembered() {
    let panics = Arc::new(AtomicU32::new(0));
    let left = Arc::clone(&panics);
    let accounts = Accounts::deciding(move |account, command, _| {
        let panic = left.swap(0, Ordering::SeqCst) > 0;
        Box::pin(async move {
            account.emit(Changed { cents: command.cents });
            assert!(!panic, "a handler that panics, on purpose");
            Ok(answer(account))
        })
    });
    let (client, _) = accounts.client();
    client.decide(command("a", 5)).command_id("c-1").await.unwrap();
    panics.store(1, Ordering::SeqCst);
    client.decide(command("a", 70)).await.unwrap_err();
    assert!(client.decide(command("a", 5)).command_id("c-1").await.unwrap().receipt().replayed);
    let sendings = (0..8).map(|_| client.decide(command("a", 1)).command_id("c-2").into_future());
    let replayed = join_all(sendings).await.into_iter().filter(|reply| reply.as_ref().unwrap().receipt().replayed);
    assert_eq!(replayed.count(), 7);
    assert_eq!(client.decide(command("a", 1)).await.unwrap().cents, 7);
}

#[tokio::test]
async fn a_created_aggregate_stays_in_memory_too() {
    let store = MemoryStore::new();
    let client = Accounts::changing().client_on(store.clone());
    let id = client.open(open("Ada")).await.unwrap().account_id.clone();
    assert_eq!(client.decide(command(&id, 3)).await.unwrap().receipt().version, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_clients_of_one_account_never_meet_a_conflict() {
    let (client, store) = Accounts::changing().client();
    let send = |n: i64| {
        let client = client.clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                client.decide(command("a", n)).await.unwrap();
            }
        })
    };
    for sender in join_all((1..=64).map(send)).await {
        sender.unwrap();
    }
    assert_eq!(store.head().await.unwrap(), 64 * 20);
    assert_eq!(AccountRepository::new(store).load("a").await.unwrap().cents, (1..=64).sum::<i64>() * 20);
}

#[tokio::test]
async fn decisions_through_a_repository_take_turns_and_stay_in_memory_too() {
    let store = MemoryStore::new();
    let accounts = AccountRepository::new(store.clone());
    let withdraw = |cents: i64| {
        move |account: &mut Root<Account>| {
            ensure!(cents <= account.cents, AppError::failed_precondition("TOO_LOW", "no"));
            if cents != 0 {
                account.emit(Changed { cents: -cents });
            }
            Ok(account.cents)
        }
    };
    elsewhere(&store, 10).await;
    assert_eq!(*accounts.execute("a", withdraw(1)).await.unwrap(), 9);
    elsewhere(&store, 91).await;
    assert_eq!(*accounts.execute("a", withdraw(0)).await.unwrap(), 100);
    elsewhere(&store, 900).await;
    assert_eq!(*accounts.execute("a", withdraw(1_000)).await.unwrap(), 0);
    accounts.execute("a", withdraw(1)).await.unwrap_err();
}

#[tokio::test]
async fn keeping_none_in_memory_changes_nothing_else() {
    let store = MemoryStore::new();
    let accounts = AccountRepository::new(store.clone()).hot_roots(0);
    for cents in 1..=3 {
        let change = |account: &mut Root<Account>| {
            account.emit(Changed { cents: 1 });
            Ok(account.cents)
        };
        assert_eq!(*accounts.execute("a", change).await.unwrap(), cents);
    }
    let mut folded = 0;
    let mut visit = |_: es_core::RecordedRef<'_>| {
        folded += 1;
        Ok(ControlFlow::Continue(()))
    };
    let stream = StreamKey::of::<Account>(AggregateId::new("a").unwrap());
    store.fold(&stream, 0, &mut visit).await.unwrap();
    assert_eq!(folded, 3);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_commands_its_own_aggregate_does_not_wait_for_itself_for_ever() {
    let bus = LocalBus::new();
    let inner = AccountServiceClient::new(bus.transport());
    let accounts = Accounts::deciding(move |account, command, _| {
        let inner = inner.clone();
        Box::pin(async move {
            if command.cents > 1 {
                inner.decide(bank::command("a", 1)).await?;
            }
            account.emit(Changed { cents: command.cents });
            Ok(answer(account))
        })
    });
    let store = MemoryStore::new();
    let _bus = bus.serve(bank::AccountServiceServer::new(accounts, AccountRepository::new(store.clone())));
    let client = AccountServiceClient::new(_bus.transport());
    let sent = tokio::time::timeout(Duration::from_secs(60), client.decide(command("a", 2)).into_future()).await;
    // Each try of the outer command conflicts with its own inner one.
    assert!(matches!(sent.expect("an answer").unwrap_err(), Error::Conflict { .. }));
    assert_eq!(store.read_all(0, 10, &Filter::all()).await.unwrap().events.len(), 8);
}
