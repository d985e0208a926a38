//! Messages, events and clients in one crate, the state and the server in another.
#![deny(warnings)]

mod contract {
    include!("../generated/contract/_protos.rs");
}
mod domain {
    include!("../generated/domain/_protos.rs");
}

use contract::bank::v1::{AccountEvent, AccountOpened, MoneyDeposited, *};
use domain::bank::v1::*;
use es_core::{AppError, CommandContext, LocalBus, MemoryStore, Repository, Root, event_applier};

#[derive(Clone, Debug, Default, es_core::Aggregate)]
#[aggregate(event = AccountEvent, type = "bank.v1.Account")]
struct Balance {
    cents: i64,
}

#[event_applier]
impl Balance {
    fn opened(&mut self, _: &AccountOpened) {}

    fn deposited(&mut self, event: &MoneyDeposited) {
        self.cents += event.cents;
    }
}

struct Accounts;

impl AccountCommandService<Balance> for Accounts {
    async fn open_account(
        &self,
        account: &mut Root<Balance>,
        command: OpenAccountCommand,
        _: &CommandContext,
    ) -> Result<OpenAccountResponse, AppError> {
        let account_id = account.id().to_string();
        account.emit(AccountOpened { account_id: account_id.clone(), owner: command.owner });
        Ok(OpenAccountResponse { account_id })
    }

    async fn deposit(
        &self,
        account: &mut Root<Balance>,
        command: DepositCommand,
        _: &CommandContext,
    ) -> Result<DepositResponse, AppError> {
        account.emit(MoneyDeposited { account_id: command.account_id, cents: command.cents });
        Ok(DepositResponse { balance_cents: account.cents, version: account.version() })
    }
}

#[tokio::main]
async fn main() {
    let bus = LocalBus::new().serve(AccountCommandServiceServer::new(Accounts, Repository::new(MemoryStore::new())));
    let client = AccountCommandServiceClient::new(bus.transport());
    let opened = client.open_account(OpenAccountCommand { owner: "Ada".into() }).await.unwrap();
    let deposit = DepositCommand { account_id: opened.account_id.clone(), cents: 3 };
    assert_eq!(client.deposit(deposit).await.unwrap().balance_cents, 3);
}
