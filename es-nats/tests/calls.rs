//! Calls over NATS, from a generated client to a generated server and back.

mod support;

use std::time::Duration;

use bank::{
    account::Accounts,
    bank::v1::{
        AccountCommandServiceClient, AccountCommandServiceServer, AccountRepository, CloseAccountCommand,
        OpenAccountCommand, TransferCommand, WithdrawCommand,
    },
};
use es_core::{
    CommandId, Error, EventLog, EventStore, LocalBus, Metadata, Request, Result, Retry, Status, Tenant, Transport, wire,
};
use es_nats::{Nats, NatsServer, NatsTransport};
use es_sqlite::SqliteStore;
use prost::Message;
use support::{SERVICE, Teller, client, connect, deposit, memory, serve, tap::Tap, until, within};

/// What a user of the bank does, whatever carries the calls.
async fn story(transport: impl Transport) -> Result<()> {
    let accounts = AccountCommandServiceClient::new(transport);
    let ada = accounts.open_account(OpenAccountCommand { owner: "Ada".into() }).command_id("open-1").await?;
    let id = ada.account_id.clone();
    let reply = accounts.deposit(deposit(&id, 500)).command_id("deposit-1").await?;
    assert_eq!((reply.balance_cents, reply.receipt().version, reply.receipt().replayed), (500, 2, false));
    let again = accounts.deposit(deposit(&id, 500)).command_id("deposit-1").await?;
    assert_eq!((again.balance_cents, again.receipt().version, again.receipt().replayed), (500, 2, true));

    let withdraw = WithdrawCommand { account_id: id.clone(), cents: 501 };
    let Err(Error::Rejected(refusal)) = accounts.withdraw(withdraw).await else { panic!("not refused") };
    assert_eq!((refusal.code(), refusal.solution_text()), ("INSUFFICIENT_FUNDS", "deposit first, or ask for less"));
    assert_eq!(refusal.details()["balance_cents"], "500");
    let reused = accounts.deposit(deposit(&id, 7)).command_id("deposit-1").await;
    assert!(matches!(reused, Err(Error::CommandIdReused { .. })), "{reused:?}");
    let bad = accounts.deposit(deposit("", 7)).await.unwrap_err();
    assert_eq!(bad.retry(), Retry::Never, "{bad}");
    Ok(())
}

#[tokio::test]
async fn moving_a_program_from_one_process_to_nats_changes_its_wiring_only() -> Result<()> {
    let server = test_servers::NatsServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let accounts =
        |store: &SqliteStore| AccountCommandServiceServer::new(Accounts, AccountRepository::new(store.clone()));

    let store = SqliteStore::open(folder.path().join("local.db")).await?;
    story(LocalBus::new().serve(accounts(&store)).transport()).await?;
    let local = store.head().await?;

    let store = SqliteStore::open(folder.path().join("nats.db")).await?;
    let serving = NatsServer::new(&Nats::connect(server.url()).await?, &store).serve(accounts(&store)).start().await?;
    story(NatsTransport::connect(server.url()).await?).await?;
    assert_eq!(store.head().await?, local);
    serving.shutdown().await;
    Ok(())
}

/// A request to deposit, as a query or a command.
fn request(account: &str, query: bool) -> Request {
    let mut request = Request::new(SERVICE, "Deposit", deposit(account, 1).encode_to_vec());
    request.query = query;
    request
}

#[tokio::test]
async fn where_nothing_serves_a_call_fails_at_once_and_was_not_carried_out() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let error = within("the error", client(&server).await.deposit(deposit("a", 1)).into_future()).await.unwrap_err();
    assert_eq!(error.to_string(), "unavailable: nothing serves `bank.v1.AccountCommandService.Deposit`");
    assert_eq!(error.retry(), Retry::Safe);
}

#[tokio::test]
async fn a_command_whose_answer_was_lost_is_sent_again_and_answered_from_the_record_byte_for_byte() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (teller, store) = (Teller::default(), memory());
    let serving = serve(&server, &teller, store.clone(), |server| server).await;
    let tap = Tap::to(&server).await;
    let transport = NatsTransport::connect(tap.url()).await.unwrap().attempt_timeout(Duration::from_millis(300));

    let mut command = request("a", false);
    command.command_id = Some(CommandId::new("c-1").unwrap());
    let first = transport.call(command.clone()).await.unwrap();
    let mut lost = command.clone();
    lost.command_id = Some(CommandId::new("c-2").unwrap());
    tap.swallow(true);
    let (answer, ()) = tokio::join!(transport.call(lost), async {
        until("the second attempt", async || tap.has_sent("Command-ID: c-2") == 2).await;
        tap.swallow(false);
    });
    let answer = answer.unwrap();
    let mut recorded = answer.receipt.clone().unwrap();
    assert!(std::mem::take(&mut recorded.replayed));
    assert_eq!((recorded.version, recorded.position), (2, 2));
    assert_eq!(store.head().await.unwrap(), 2);
    let again = transport.call(command).await.unwrap();
    assert_eq!((again.data, again.message_type), (first.data, first.message_type));
    serving.shutdown().await;
}

#[tokio::test]
async fn a_command_under_way_when_the_connection_is_cut_is_sent_again_over_the_next_one() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (teller, store) = (Teller::who_waits(), memory());
    let _serving = serve(&server, &teller, store.clone(), |server| server).await;
    let tap = Tap::to(&server).await;
    // Only the new connection can be the reason to send it again.
    let transport = NatsTransport::connect(tap.url()).await.unwrap().attempt_timeout(Duration::from_secs(50));
    let call = tokio::spawn(async move { transport.timeout(Duration::from_secs(55)).call(request("a", false)).await });
    until("the command to arrive", async || teller.asked() == 1).await;
    tap.cut();
    until("the second attempt", async || tap.has_sent("Command-ID: ") == 2).await;
    teller.may.add_permits(10);
    let receipt = within("the answer", call).await.unwrap().unwrap().receipt.unwrap();
    assert_eq!(receipt.version, 1);
    assert_eq!(store.head().await.unwrap(), 1);
}

#[tokio::test]
async fn a_command_without_an_answer_fails_with_the_id_it_was_given_and_a_query_with_a_timeout() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (teller, store) = (Teller::who_waits(), memory());
    let _serving = serve(&server, &teller, store.clone(), |server| server).await;
    let transport = NatsTransport::new(&connect(&server).await).attempt_timeout(Duration::from_millis(50));

    let mut query = request("a", true);
    query.timeout = Some(Duration::from_millis(120));
    assert!(matches!(transport.call(query).await, Err(Error::Timeout { after }) if after.as_millis() == 120));

    let accounts = AccountCommandServiceClient::new(transport);
    let error = accounts.deposit(deposit("b", 1)).timeout(Duration::from_millis(120)).await.unwrap_err();
    let Error::OutcomeUnknown { command_id: Some(id), .. } = &error else { panic!("{error}") };
    assert_eq!(error.retry(), Retry::SameIdOnly);
    teller.may.add_permits(10);
    until("the command to be carried out", async || store.outcome(None, id).await.unwrap().is_some()).await;
    let reply = accounts.deposit(deposit("b", 1)).command_id(id.as_str()).await.unwrap();
    assert!(reply.receipt().replayed);
    assert_eq!(reply.receipt().version, 1);
}

#[tokio::test]
async fn a_command_sent_again_is_not_called_undone_while_its_first_attempt_may_still_be_carried_out() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (teller, store) = (Teller::who_waits(), memory());
    // The first attempt takes the only place, and all others are turned away.
    let _serving = serve(&server, &teller, store.clone(), |server| server.concurrency(1).waiting(0)).await;
    let tap = Tap::to(&server).await;
    let transport = NatsTransport::connect(tap.url()).await.unwrap().attempt_timeout(Duration::from_millis(50));

    let call = tokio::spawn(async move { transport.timeout(Duration::from_secs(55)).call(request("a", false)).await });
    let turned_away = || tap.has_sent("Command-ID: ").saturating_sub(2);
    until("two to be turned away", async || turned_away() >= 2 || call.is_finished()).await;
    teller.may.add_permits(1);
    let receipt = within("the answer", call).await.unwrap().unwrap().receipt.unwrap();
    assert!(receipt.replayed);
    assert_eq!((receipt.version, store.head().await.unwrap()), (1, 1));
}

#[tokio::test]
async fn a_command_whose_later_attempts_alone_are_turned_away_fails_in_the_end_with_the_id_it_was_given() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (teller, store) = (Teller::who_waits(), memory());
    let _serving = serve(&server, &teller, store.clone(), |server| server.concurrency(1).waiting(0)).await;
    let transport = NatsTransport::new(&connect(&server).await).attempt_timeout(Duration::from_millis(50));
    let mut command = request("a", false);
    command.timeout = Some(Duration::from_millis(500));
    let error = transport.call(command).await.unwrap_err();
    let Error::OutcomeUnknown { command_id: Some(id), .. } = &error else { panic!("{error}") };
    let another = transport.call(request("b", false)).await.unwrap_err();
    assert!(matches!(another, Error::Backpressure { .. }), "its only attempt was turned away: {another}");
    teller.may.add_permits(1);
    until("the command to be carried out", async || store.outcome(None, id).await.unwrap().is_some()).await;
}

#[tokio::test]
async fn a_query_sent_again_is_told_at_once_that_it_is_turned_away() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let teller = Teller::who_waits();
    let _serving = serve(&server, &teller, memory(), |server| server.concurrency(1).waiting(0)).await;
    let transport = NatsTransport::new(&connect(&server).await).attempt_timeout(Duration::from_millis(50));
    let error = transport.call(request("a", true)).await.unwrap_err();
    assert!(matches!(error, Error::Backpressure { .. }), "{error}");
}

#[tokio::test]
async fn without_a_connection_a_call_waits_for_one_and_then_says_that_nothing_was_done() {
    let mut server = test_servers::NatsServer::start().await.unwrap();
    let (teller, store) = (Teller::default(), memory());
    let _serving = serve(&server, &teller, store, |server| server).await;
    let accounts = client(&server).await;
    server.kill();
    until("the loss", async || accounts.deposit(deposit("a", 1)).timeout(Duration::from_millis(1)).await.is_err())
        .await;
    let error = accounts.deposit(deposit("a", 1)).timeout(Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    let (reply, restarted) = tokio::join!(accounts.deposit(deposit("b", 1)).into_future(), server.restart());
    restarted.unwrap();
    match reply {
        Ok(reply) => assert_eq!(reply.receipt().version, 1),
        // The client may be back before the service.
        Err(error) => assert_eq!(error.retry(), Retry::Safe, "{error}"),
    }
}

#[tokio::test]
async fn a_request_too_large_for_the_server_is_refused_before_it_is_sent() {
    let server = test_servers::NatsServer::builder().config("max_payload: 10000").start().await.unwrap();
    let teller = Teller::default();
    let _serving = serve(&server, &teller, memory(), |server| server).await;
    let tap = Tap::to(&server).await;
    let accounts = AccountCommandServiceClient::new(NatsTransport::connect(tap.url()).await.unwrap());
    let error = accounts.open_account(OpenAccountCommand { owner: "o".repeat(10_000) }).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "request", limit: 10_000, actual: 10_001.. }), "{error}");
    // Headers count.
    let error = accounts.deposit(deposit("a", 1)).principal("p".repeat(10_000)).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    assert_eq!((tap.has_sent("PUB "), teller.asked()), (0, 0));
    accounts.deposit(deposit("a", 1)).await.unwrap();
}

#[tokio::test]
async fn an_answer_too_large_for_the_server_is_answered_with_an_error_that_says_so() {
    let server = test_servers::NatsServer::builder().config("max_payload: 10000").start().await.unwrap();
    let (teller, store) = (Teller::default(), memory());
    let _serving = serve(&server, &teller, store.clone(), |server| server).await;
    let accounts = client(&server).await;
    let command = TransferCommand { account_id: "a".into(), to_account_id: "b".into(), cents: 10_000 };
    let Err(Error::Rejected(refusal)) = accounts.transfer(command).await else { panic!("answered") };
    assert_eq!((refusal.code(), refusal.status()), ("RESPONSE_TOO_LARGE", Status::Internal));
    assert!(refusal.message().contains("this NATS server takes 10000; a command was carried out"), "{refusal}");
    assert_eq!(store.head().await.unwrap(), 1);
}

#[tokio::test]
async fn what_a_call_says_beside_its_message_arrives_as_in_one_process() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let teller = Teller::default();
    let _serving = serve(&server, &teller, memory(), |server| server).await;
    let local = LocalBus::new().serve(teller.server(memory())).transport();
    let here = AccountCommandServiceClient::new(local);
    let there = client(&server).await;
    let mut calls = 0;
    for text in ["plain", "ü 🏦 %41 100% a:b", "\u{202e}rtl\u{301}", &"x".repeat(300)] {
        for entry in [text, "", "two\r\nlines\0", " edges\u{3000}", "\u{85}"] {
            let metadata = Metadata::default()
                .tenant(Tenant::new("ten.ant*>").unwrap())
                .principal(text)
                .correlation(text)
                .causation(text)
                .traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
                .entry(entry, text)
                .entry("b", entry);
            calls += 1;
            let told = async |accounts: &AccountCommandServiceClient| {
                let call = accounts.close_account(CloseAccountCommand { account_id: "a".into() });
                call.metadata(metadata.clone()).command_id(format!("c.{calls}*>🏦")).await.unwrap().into_inner()
            };
            let (here, there) = (told(&here).await, told(&there).await);
            assert!(here.account_id.contains("ten.ant"), "{here:?}");
            assert_eq!(here, there);
        }
    }
}

#[tokio::test]
async fn an_id_that_would_not_arrive_as_it_is_is_refused_and_nothing_is_sent() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let teller = Teller::default();
    let _serving = serve(&server, &teller, memory(), |server| server).await;
    let tap = Tap::to(&server).await;
    let accounts = AccountCommandServiceClient::new(NatsTransport::connect(tap.url()).await.unwrap());
    let call = || accounts.deposit(deposit("a", 1));
    for hostile in ["a\r\nX: 1", "a\rb", "a\n", "\0", " a", "a ", "a\u{3000}", "\u{85}", "\u{1b}[1m", "\t"] {
        for call in [
            call().principal(hostile),
            call().correlation(hostile),
            call().causation(hostile),
            call().metadata(Metadata::default().traceparent(hostile)),
            call().command_id(hostile),
            call().tenant(hostile),
        ] {
            let error = call.await.unwrap_err();
            assert!(matches!(error, Error::InvalidRequest { .. } | Error::InvalidId { .. }), "{hostile:?}: {error}");
            assert_eq!(error.retry(), Retry::Never);
        }
    }
    assert_eq!((tap.has_sent("PUB "), teller.asked()), (0, 0));
    let id = "a.b*>'\"🏦;--".repeat(18);
    let reply = accounts.deposit(deposit(&id, 1)).tenant(&*id).command_id(&*id).await.unwrap();
    assert_eq!(
        (reply.receipt().stream.id.as_str(), reply.receipt().stream.tenant.as_ref().unwrap().as_str()),
        (&*id, &*id)
    );
}

#[tokio::test]
async fn a_request_with_a_bad_header_is_answered_with_the_reason_and_its_handler_does_not_run() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let teller = Teller::default();
    let _serving = serve(&server, &teller, memory(), |server| server).await;
    let nats = connect(&server).await;
    let ask = async |subject: &str, headers: &[(&str, &str)]| {
        let mut map = async_nats::HeaderMap::new();
        headers.iter().for_each(|(name, value)| map.append(*name, *value));
        let body = deposit("a", 1).encode_to_vec();
        let reply = nats.client().request_with_headers(subject.to_owned(), map, body.into()).await.unwrap();
        wire::Response::decode(reply.payload).unwrap().error.unwrap_or_default()
    };
    let subject = "bank.v1.AccountCommandService.Deposit";
    let long = "c".repeat(1025);
    for (subject, headers) in [
        (subject, &[("Command-ID", "a b")][..]),
        (subject, &[("Command-ID", "a\tb")]),
        (subject, &[("Command-ID", &long)]),
        (subject, &[("Command-ID", "a"), ("Command-ID", "b")]),
        (subject, &[("Message-Type", "bank.v1.WithdrawCommand")]),
        (subject, &[("Meta-rate", "100%")]),
        (subject, &[("Tenant-ID", "acme")]),
        ("tenant.a%2.bank.v1.AccountCommandService.Deposit", &[]),
        ("tenant.%.bank.v1.AccountCommandService.Deposit", &[]),
        ("tenant.%20.bank.v1.AccountCommandService.Deposit", &[]),
        ("tenant.acme.bank.v1.AccountCommandService.Deposit", &[("Tenant-ID", "other")]),
    ] {
        let error = ask(subject, headers).await;
        assert_eq!(error.status(), Status::InvalidArgument, "{subject} {headers:?}: {error:?}");
        assert!(!error.message.is_empty());
    }
    assert_eq!(teller.asked(), 0);
    // A missing type means the method's own; a tenant said twice the same is no contradiction; other headers are not ours.
    assert_eq!(ask(subject, &[("X-Other", "1")]).await, wire::AppError::default());
    let tenant = "tenant.acme.bank.v1.AccountCommandService.Deposit";
    assert_eq!(
        ask(tenant, &[("Tenant-ID", "acme"), ("Message-Type", "bank.v1.DepositCommand")]).await,
        wire::AppError::default()
    );
    assert_eq!(teller.asked(), 2);
}

#[tokio::test]
async fn a_program_may_write_the_names_of_headers_in_small_letters() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (store, teller) = (memory(), Teller::default());
    let _serving = serve(&server, &teller, store.clone(), |server| server).await;
    let nats = connect(&server).await;
    let ask = async |headers: &[(&str, &str)]| {
        let headers: async_nats::HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let (subject, body) = ("bank.v1.AccountCommandService.Deposit", deposit("a", 1).encode_to_vec());
        let reply = nats.client().request_with_headers(subject, headers, body.into()).await.unwrap();
        wire::Response::decode(reply.payload).unwrap()
    };
    for (name, replayed) in [("command-id", false), ("Command-Id", true), ("COMMAND-ID", true), ("Command-ID", true)] {
        let receipt = ask(&[(name, "c-1")]).await.receipt.unwrap();
        assert_eq!((receipt.position, receipt.replayed), (1, replayed), "{name}");
    }
    // What would say two things says nothing, and a tenant is no more believed for how it is written.
    for headers in [&[("command-id", "c-2"), ("Command-ID", "c-3")][..], &[("tenant-id", "acme")]] {
        assert_eq!(ask(headers).await.error.unwrap().status(), Status::InvalidArgument, "{headers:?}");
    }
    assert_eq!(store.head().await.unwrap(), 1);
}
