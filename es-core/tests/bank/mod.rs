//! A bank generated from `account.proto`, whose `Decide` does what a test says.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses a part of it")]

use std::sync::Arc;

use es_core::{
    AppError, CommandContext, EventStore, LocalBus, MemoryStore, QueryContext, Root, event_applier, store::BoxFuture,
};

include!("bank.v1.rs");

#[event_applier]
impl Account {
    fn opened(&mut self, _: &Opened) {}

    fn changed(&mut self, event: &Changed) {
        self.cents += event.cents;
    }
}

type Decision = dyn for<'a> Fn(&'a mut Root<Account>, Command, &'a CommandContext) -> BoxFuture<'a, Result<Answer, AppError>>
    + Send
    + Sync;

/// Decides what the test says.
#[derive(Clone)]
pub struct Accounts(Arc<Decision>);

impl Accounts {
    /// A bank whose `Decide` calls this.
    pub fn deciding<F>(decide: F) -> Self
    where
        F: for<'a> Fn(&'a mut Root<Account>, Command, &'a CommandContext) -> BoxFuture<'a, Result<Answer, AppError>>
            + Send
            + Sync
            + 'static,
    {
        Self(Arc::new(decide))
    }

    /// A bank whose `Decide` changes the balance by the command's cents.
    pub fn changing() -> Self {
        Self::deciding(|account, command, _| {
            Box::pin(async move {
                account.emit(Changed { cents: command.cents });
                Ok(answer(account))
            })
        })
    }

    /// Serves it, with a store of its own, to a client.
    pub fn client(self) -> (AccountServiceClient, MemoryStore) {
        let store = MemoryStore::new();
        (self.client_on(store.clone()), store)
    }

    /// Serves it over a store to a client.
    pub fn client_on(self, store: impl EventStore) -> AccountServiceClient {
        let bus = LocalBus::new().serve(AccountServiceServer::new(self, AccountRepository::new(store)));
        AccountServiceClient::new(bus.transport())
    }
}

impl AccountService for Accounts {
    async fn open(
        &self,
        account: &mut Root<Account>,
        command: OpenCommand,
        _: &CommandContext,
    ) -> Result<Answer, AppError> {
        account.claim("owner", &command.owner);
        account.emit(Opened { owner: command.owner });
        Ok(answer(account))
    }

    async fn register(
        &self,
        account: &mut Root<Account>,
        command: Command,
        _: &CommandContext,
    ) -> Result<Answer, AppError> {
        account.emit(Opened { owner: command.account_id });
        Ok(answer(account))
    }

    async fn decide(
        &self,
        account: &mut Root<Account>,
        command: Command,
        context: &CommandContext,
    ) -> Result<Answer, AppError> {
        (self.0)(account, command, context).await
    }
}

impl QueryService for Accounts {
    async fn ask(&self, query: Command, context: &QueryContext) -> Result<Answer, AppError> {
        assert!(query.account_id != "panic", "a query that panics, on purpose");
        es_core::ensure!(query.account_id != "unknown", AppError::not_found("UNKNOWN", "there is no such account"));
        Ok(Answer { account_id: context.principal().unwrap_or_default().into(), cents: query.cents })
    }
}

pub fn answer(account: &Root<Account>) -> Answer {
    Answer { account_id: account.id().to_string(), cents: account.cents }
}

pub fn command(account_id: &str, cents: i64) -> Command {
    Command { account_id: account_id.into(), cents }
}

pub fn open(owner: &str) -> OpenCommand {
    OpenCommand { owner: owner.into() }
}
