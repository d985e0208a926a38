//! The bank of the fixtures, from its commands to its queries.
#![deny(warnings, missing_docs)]

/// Generated.
#[allow(missing_docs)]
mod generated {
    include!("../generated/bank/_protos.rs");
}

use es_core::{AppError, CommandContext, Error, LocalBus, MemoryStore, QueryContext, Root, event_applier};
use generated::bank::v1::*;

#[event_applier]
impl Account {
    fn opened(&mut self, event: &AccountOpened) {
        self.account_id = event.account_id.clone();
        self.owner = event.owner.clone();
        self.open = true;
    }

    fn deposited(&mut self, event: &MoneyDeposited) {
        self.balance_cents += event.cents;
    }
}

struct Accounts;

impl AccountCommandService for Accounts {
    async fn open_account(
        &self,
        account: &mut Root<Account>,
        command: OpenAccountCommand,
        _: &CommandContext,
    ) -> Result<OpenAccountResponse, AppError> {
        let account_id = account.id().to_string();
        account.emit(AccountOpened { account_id: account_id.clone(), owner: command.owner });
        Ok(OpenAccountResponse { account_id })
    }

    async fn deposit(
        &self,
        account: &mut Root<Account>,
        command: DepositCommand,
        _: &CommandContext,
    ) -> Result<DepositResponse, AppError> {
        if !account.open {
            return Err(AppError::failed_precondition("ACCOUNT_CLOSED", "the account is closed"));
        }
        account.emit(MoneyDeposited { account_id: command.account_id, cents: command.cents });
        Ok(DepositResponse { balance_cents: account.balance_cents, version: account.version() })
    }
}

struct Balances;

impl AccountQueryService for Balances {
    async fn get_account(&self, request: GetAccountRequest, _: &QueryContext) -> Result<AccountView, AppError> {
        Ok(AccountView { account_id: request.account_id, balance_cents: 7 })
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let bus = LocalBus::new()
        .serve(AccountCommandServiceServer::new(Accounts, AccountRepository::new(MemoryStore::new())))
        .serve(AccountQueryServiceServer::new(Balances));
    let client = AccountCommandServiceClient::new(bus.transport());
    let opened = client.open_account(OpenAccountCommand { owner: "Ada".into() }).command_id("c-1").await?;
    let deposit = DepositCommand { account_id: opened.account_id.clone(), cents: 500 };
    let reply = client.deposit(deposit.clone()).command_id("c-2").await?;
    assert_eq!((reply.balance_cents, reply.version), (500, 2));
    let again = client.deposit(deposit).command_id("c-2").await?;
    assert_eq!((again.balance_cents, again.version), (500, 2));
    let unknown = client.deposit(DepositCommand { account_id: "nobody".into(), cents: 1 }).await;
    assert!(unknown.is_err());
    let queries = AccountQueryServiceClient::new(bus.transport());
    let view = queries.get_account(GetAccountRequest { account_id: opened.account_id.clone() }).await?;
    assert_eq!(view.balance_cents, 7);
    Ok(())
}
