//! Calls over NATS, from a generated client to a generated server and back.

mod common;

use std::{sync::Arc, time::Duration};

use bank::{
    account::Accounts,
    bank::v1::{
        AccountCommandServiceClient, AccountCommandServiceServer, AccountRepository, OpenAccountCommand,
        WithdrawCommand,
    },
};
use common::{Teller, deposit, memory, serve};
use es_core::{CommandId, Error, EventStore, LocalBus, Result, Retry, Transport};
use es_nats::{Nats, NatsServer, NatsTransport};
use es_sqlite::SqliteStore;

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
