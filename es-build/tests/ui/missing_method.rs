//! The service does not handle `Deposit`.

include!("../generated/bank/_protos.rs");

use bank::v1::*;
use es_core::{AppError, CommandContext, Root};

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
}

fn main() {}
