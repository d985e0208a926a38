//! The rules of the bank: what an account is, and what may be done with it.

use es_core::{AppError, CommandContext, Root, ensure, event_applier};

use crate::bank::v1::{
    Account, AccountClosed, AccountCommandService, AccountOpened, AccountResponse, CloseAccountCommand, DepositCommand,
    MoneyDeposited, MoneyWithdrawn, OpenAccountCommand, TransferCommand, TransferReceived, TransferSent,
    WithdrawCommand,
};

/// The owner's name is unique among open accounts.
const OWNER: &str = "owner";

#[event_applier]
impl Account {
    fn opened(&mut self, event: &AccountOpened) {
        self.account_id.clone_from(&event.account_id);
        self.owner.clone_from(&event.owner);
        self.open = true;
    }

    fn deposited(&mut self, event: &MoneyDeposited) {
        self.balance_cents += event.cents;
    }

    fn withdrawn(&mut self, event: &MoneyWithdrawn) {
        self.balance_cents -= event.cents;
    }

    fn sent(&mut self, event: &TransferSent) {
        self.balance_cents -= event.cents;
    }

    fn received(&mut self, event: &TransferReceived) {
        self.balance_cents += event.cents;
    }

    fn closed(&mut self, _: &AccountClosed) {
        self.open = false;
    }
}

impl Account {
    fn ensure_open(&self) -> Result<(), AppError> {
        ensure!(self.open, AppError::failed_precondition("ACCOUNT_NOT_OPEN", "there is no open account with this id"));
        Ok(())
    }

    fn ensure_covers(&self, cents: i64) -> Result<(), AppError> {
        let refusal = || {
            AppError::failed_precondition("INSUFFICIENT_FUNDS", "the balance is too low")
                .solution("deposit first, or ask for less")
                .detail("balance_cents", self.balance_cents)
        };
        ensure!(cents <= self.balance_cents, refusal());
        Ok(())
    }

    fn ensure_holds(&self, cents: i64) -> Result<(), AppError> {
        let fits = self.balance_cents.checked_add(cents).is_some();
        ensure!(fits, AppError::failed_precondition("AMOUNT_TOO_LARGE", "the account can't hold so much"));
        Ok(())
    }
}

fn ensure_amount(cents: i64) -> Result<(), AppError> {
    ensure!(cents > 0, AppError::invalid_argument("INVALID_AMOUNT", "an amount has to be more than nothing"));
    Ok(())
}

/// Decides what happens when a command comes in.
#[derive(Debug)]
pub struct Accounts;

impl AccountCommandService for Accounts {
    async fn open_account(
        &self,
        account: &mut Root<Account>,
        command: OpenAccountCommand,
        _: &CommandContext,
    ) -> Result<AccountResponse, AppError> {
        ensure!(!command.owner.is_empty(), AppError::invalid_argument("OWNER_MISSING", "say whose account it is"));
        account.claim(OWNER, &command.owner);
        account.emit(AccountOpened { account_id: account.id().to_string(), owner: command.owner });
        Ok(answer(account))
    }

    async fn deposit(
        &self,
        account: &mut Root<Account>,
        command: DepositCommand,
        _: &CommandContext,
    ) -> Result<AccountResponse, AppError> {
        ensure_amount(command.cents)?;
        account.ensure_open()?;
        account.ensure_holds(command.cents)?;
        account.emit(MoneyDeposited { account_id: command.account_id, cents: command.cents });
        Ok(answer(account))
    }

    async fn withdraw(
        &self,
        account: &mut Root<Account>,
        command: WithdrawCommand,
        _: &CommandContext,
    ) -> Result<AccountResponse, AppError> {
        ensure_amount(command.cents)?;
        account.ensure_open()?;
        account.ensure_covers(command.cents)?;
        account.emit(MoneyWithdrawn { account_id: command.account_id, cents: command.cents });
        Ok(answer(account))
    }

    async fn transfer(
        &self,
        account: &mut Root<Account>,
        command: TransferCommand,
        context: &CommandContext,
    ) -> Result<AccountResponse, AppError> {
        let TransferCommand { account_id, to_account_id, cents } = command;
        ensure_amount(cents)?;
        let other = to_account_id != account_id;
        ensure!(other, AppError::invalid_argument("SAME_ACCOUNT", "money moves between two accounts"));
        account.ensure_open()?;
        account.ensure_covers(cents)?;
        let mut target = context.enlist::<Account>(&to_account_id).await?;
        target.ensure_open()?;
        target.ensure_holds(cents)?;
        target.emit(TransferReceived {
            account_id: to_account_id.clone(),
            cents,
            from_account_id: account_id.clone(),
            from_owner: account.owner.clone(),
        });
        account.emit(TransferSent { account_id, cents, to_account_id, to_owner: target.owner.clone() });
        Ok(answer(account))
    }

    async fn close_account(
        &self,
        account: &mut Root<Account>,
        command: CloseAccountCommand,
        _: &CommandContext,
    ) -> Result<AccountResponse, AppError> {
        account.ensure_open()?;
        let empty = account.balance_cents == 0;
        ensure!(empty, AppError::failed_precondition("ACCOUNT_NOT_EMPTY", "there is money left in the account"));
        let owner = account.owner.clone();
        account.emit(AccountClosed { account_id: command.account_id });
        account.release(OWNER, owner);
        Ok(answer(account))
    }
}

fn answer(account: &Root<Account>) -> AccountResponse {
    AccountResponse {
        account_id: account.id().to_string(),
        balance_cents: account.balance_cents,
        version: account.version(),
    }
}
