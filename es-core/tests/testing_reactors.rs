//! The fixture reactors are tested with.

mod bank;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use bank::{
    Account, AccountEvent, AccountHooks, AccountRepository, AccountServiceClient, AccountServiceServer, Accounts,
    Answer, Changed, Command, Opened, QueryServiceClient, command, open,
};
use es_core::{
    AppError, HookResult, LocalBus, MemoryStore, Reactor, ReactorBuilder, StartFrom, Transport,
    testing::{Reacted, Sent, reactor},
};

fn opened(owner: &str) -> Opened {
    Opened { owner: owner.into() }
}

/// Gives each owner of a new account a bonus, and opens an account for whoever becomes rich.
fn bonus(transport: impl Transport) -> ReactorBuilder {
    Reactor::builder("bonus", transport, StartFrom::Now)
        .on_opened(async |commands, event, _| {
            AccountServiceClient::new(commands).decide(command(&event.owner, 100)).await?;
            Ok(())
        })
        .on_changed(async |commands, event, meta| {
            let client = AccountServiceClient::new(commands);
            if event.cents > 1_000 {
                client.open(open(meta.stream.id.as_str())).await?;
            }
            Ok(())
        })
}

/// A client whose calls are only compared.
fn client() -> AccountServiceClient {
    AccountServiceClient::new(Sent::accepting())
}

async fn two_opened(sent: Sent) -> Reacted {
    reactor(sent, bonus)
        .given::<Account>("a", [opened("Ada")])
        .given::<Account>("b", [AccountEvent::from(opened("Bob")), Changed { cents: 5_000 }.into()])
        .await
}

#[tokio::test]
async fn commands_that_follow_from_given_events_are_looked_at_in_order() {
    let reacted = two_opened(Sent::accepting()).await;
    let reacted = reacted
        .then_sends(client().decide(command("Ada", 100)))
        .then_sends(client().decide(command("Bob", 100)))
        .then_sends(client().open(open("b")))
        .then_sends_nothing_more();
    let reacted = reacted.given::<Account>("c", [opened("Cy")]).await;
    let reacted = reacted.then_sends(client().decide(command("Cy", 100))).then_sends_nothing_more();
    reacted.then_replay_sends_the_same().await;
}

#[tokio::test]
async fn each_command_shows_its_method_its_message_and_its_id() {
    let reacted = two_opened(Sent::accepting()).await;
    let commands = reacted.sent().commands();
    let [first, second, third] = commands.as_slice() else { panic!("{commands:?}") };
    assert_eq!(
        (first.route().as_str(), first.decode::<Command>()),
        ("bank.v1.AccountService.Decide", command("Ada", 100))
    );
    assert_eq!((third.method(), first.metadata.causation_id.as_deref()), ("Open", Some("event 1")));
    assert_ne!(first.id(), second.id());
}

#[tokio::test]
async fn a_replay_sends_the_same_ids_and_a_real_service_carries_them_out_once() {
    let store = MemoryStore::new();
    let accounts = AccountRepository::new(store.clone());
    let bus = LocalBus::new().serve(AccountServiceServer::new(Accounts::changing(), accounts));
    let reacted = two_opened(Sent::over(bus.transport())).await.then_replay_sends_the_same().await;
    assert_eq!((reacted.sent().requests().len(), reacted.sent().commands().len()), (6, 3));
    let balance = AccountRepository::new(store).load("Ada").await.unwrap().cents;
    assert_eq!(balance, 100);
}

#[tokio::test]
async fn partitions_make_no_difference_to_what_is_sent() {
    let divided = |sent| bonus(sent).partitions(4);
    let given = reactor(Sent::accepting(), divided).given::<Account>("a", [opened("Ada")]);
    let reacted = given.given::<Account>("b", [opened("Bob")]).await.then_replay_sends_the_same().await;
    let mut sent: Vec<_> = reacted.sent().commands().iter().map(|sent| sent.decode::<Command>().account_id).collect();
    sent.sort_unstable();
    assert_eq!(sent, ["Ada", "Bob"]);
}

/// Pays what a query answers.
fn asking(transport: impl Transport) -> ReactorBuilder {
    Reactor::builder("asking", transport, StartFrom::Beginning)
        .on_opened(async |commands, event, _| {
            let answer: Answer = QueryServiceClient::new(commands.clone()).ask(command(&event.owner, 0)).await?;
            AccountServiceClient::new(commands).decide(command(&event.owner, answer.cents)).await?;
            Ok(())
        })
        .on_rejected(async |_, _| HookResult::Ok(()))
}

#[tokio::test]
async fn canned_answers_are_given_by_method_and_queries_are_no_commands() {
    let sent = Sent::accepting().answering("Ask", &Answer { account_id: String::new(), cents: 7 });
    let reacted = reactor(sent, asking).given::<Account>("a", [opened("Ada")]).await;
    assert_eq!(reacted.sent().requests().len(), 2);
    reacted.then_sends(client().decide(command("Ada", 7))).then_sends_nothing_more();
}

#[tokio::test]
async fn a_refusal_can_be_canned() {
    let sent = Sent::accepting().refusing("Decide", AppError::failed_precondition("CLOSED", "it is closed"));
    let reacted = reactor(sent.clone(), asking).given::<Account>("a", [opened("Ada")]).await;
    reacted.then_sends(client().decide(command("Ada", 0)));
    let stopped = tokio::spawn(async move { two_opened(sent).await }).await.unwrap_err().into_panic();
    let message = stopped.downcast_ref::<String>().unwrap();
    assert!(message.contains("stopped at position 1") && message.contains("it is closed"), "{message}");
}

#[tokio::test]
async fn a_hook_that_is_tried_again_has_sent_its_command_once() {
    let failing_once = |sent: Sent| {
        let tries = Arc::new(AtomicI64::new(0));
        Reactor::builder("failing", sent, StartFrom::Now).on_opened(async move |commands, event, _| {
            AccountServiceClient::new(commands).decide(command(&event.owner, 1)).await?;
            if tries.fetch_add(1, Ordering::SeqCst) == 0 { Err("the first time".into()) } else { Ok(()) }
        })
    };
    let reacted = reactor(Sent::accepting(), failing_once).given::<Account>("a", [opened("Ada")]).await;
    assert_eq!(reacted.sent().requests().len(), 2);
    reacted.then_sends(client().decide(command("Ada", 1))).then_sends_nothing_more();
}

/// Pays by a counter of the program.
fn counting(transport: impl Transport) -> ReactorBuilder {
    let counter = Arc::new(AtomicI64::new(1));
    Reactor::builder("counting", transport, StartFrom::Now).on_opened(async move |commands, event, _| {
        let cents = counter.fetch_add(1, Ordering::SeqCst);
        AccountServiceClient::new(commands).decide(command(&event.owner, cents)).await?;
        Ok(())
    })
}

#[tokio::test]
#[should_panic(
    expected = "replayed, the reactor sends other commands\n  before: bank.v1.AccountService.Decide with id "
)]
async fn a_reactor_that_counts_by_itself_does_not_come_through_a_replay() {
    reactor(Sent::accepting(), counting)
        .given::<Account>("a", [opened("Ada")])
        .await
        .then_replay_sends_the_same()
        .await;
}

#[tokio::test]
#[should_panic(expected = "the encoded message of command 1, bank.v1.AccountService.Decide")]
async fn another_message_than_expected_fails_the_test() {
    two_opened(Sent::accepting()).await.then_sends(client().decide(command("Ada", 99)));
}

#[tokio::test]
#[should_panic(expected = "the method of command 1")]
async fn another_method_than_expected_fails_the_test() {
    two_opened(Sent::accepting()).await.then_sends(client().open(open("Ada")));
}

#[tokio::test]
#[should_panic(expected = "bank.v1.AccountService.Decide was expected, and nothing more was sent")]
async fn a_command_that_is_missing_fails_the_test() {
    reactor(Sent::accepting(), bonus).await.then_sends(client().decide(command("Ada", 100)));
}

#[tokio::test]
#[should_panic(expected = "nothing more was expected, sent was bank.v1.AccountService.Decide")]
async fn a_command_too_many_fails_the_test() {
    two_opened(Sent::accepting()).await.then_sends_nothing_more();
}
