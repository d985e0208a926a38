//! The root message has no `#[event_applier]`.

include!("../generated/bank/_protos.rs");

use bank::v1::*;
use es_core::{AppError, CommandContext, LocalBus, MemoryStore, Root};

struct Accounts;

impl AccountCommandService for Accounts {
    async fn open_account(
        &self,
        _: &mut Root<Account>,
        _: OpenAccountCommand,
        _: &CommandContext,
    ) -> Result<OpenAccountResponse, AppError> {
        Ok(OpenAccountResponse::default())
    }

    async fn deposit(
        &self,
        _: &mut Root<Account>,
        _: DepositCommand,
        _: &CommandContext,
    ) -> Result<DepositResponse, AppError> {
        Ok(DepositResponse::default())
    }
}

fn main() {
    let _ = LocalBus::new().serve(AccountCommandServiceServer::new(Accounts, AccountRepository::new(MemoryStore::new())));
}
