//! The smallest bank: open, deposit, withdraw, and a table of balances.

use es_core::{AppError, CommandContext, LocalBus, Root, Runner, ensure, event_applier};
use es_sqlite::{SqliteProjection, SqliteStore};

es_core::include_protos!();
use bank::v1::*;

#[event_applier]
impl Account {
    fn opened(&mut self, event: &AccountOpened) {
        self.account_id = event.account_id.clone();
        self.owner = event.owner.clone();
    }
    fn deposited(&mut self, event: &MoneyDeposited) {
        self.balance_cents += i64::from(event.cents);
    }
    fn withdrawn(&mut self, event: &MoneyWithdrawn) {
        self.balance_cents -= i64::from(event.cents);
    }
}

struct Accounts;
type Answer = Result<AccountResponse, AppError>;

impl AccountCommandService for Accounts {
    async fn open_account(&self, account: &mut Root<Account>, c: OpenAccountCommand, _: &CommandContext) -> Answer {
        account.emit(AccountOpened { account_id: account.id().to_string(), owner: c.owner });
        Ok(answer(account))
    }
    async fn deposit(&self, account: &mut Root<Account>, c: DepositCommand, _: &CommandContext) -> Answer {
        ensure!(account.exists(), AppError::not_found("NO_ACCOUNT", "open the account first"));
        account.emit(MoneyDeposited { account_id: c.account_id, cents: c.cents });
        Ok(answer(account))
    }
    async fn withdraw(&self, account: &mut Root<Account>, c: WithdrawCommand, _: &CommandContext) -> Answer {
        let covered = i64::from(c.cents) <= account.balance_cents;
        ensure!(covered, AppError::failed_precondition("INSUFFICIENT_FUNDS", "the balance is too low"));
        account.emit(MoneyWithdrawn { account_id: c.account_id, cents: c.cents });
        Ok(answer(account))
    }
}

fn answer(account: &Root<Account>) -> AccountResponse {
    AccountResponse { account_id: account.id().to_string(), balance_cents: account.balance_cents }
}

#[tokio::main]
async fn main() -> es_core::Result<()> {
    let store = SqliteStore::open("small-bank.db").await?;
    let add = "UPDATE balance SET cents = cents + ?2 WHERE account_id = ?1";
    let balances = SqliteProjection::builder("balances")
        .migration("CREATE TABLE balance (account_id TEXT PRIMARY KEY, owner TEXT, cents INTEGER) STRICT")
        .on_account_opened(|tx, e, _| tx.run("INSERT INTO balance VALUES (?1, ?2, 0)", (&e.account_id, &e.owner)))
        .on_money_deposited(move |tx, e, _| tx.run(add, (&e.account_id, e.cents)))
        .on_money_withdrawn(move |tx, e, _| tx.run(add, (&e.account_id, -i64::from(e.cents))))
        .build(&store)?;
    let running = Runner::new(store.clone()).run(balances.clone()).start()?;
    let bus = LocalBus::new().serve(AccountCommandServiceServer::new(Accounts, AccountRepository::new(store.clone())));
    let accounts = AccountCommandServiceClient::new(bus.transport());

    let ada = accounts.open_account(OpenAccountCommand { owner: "Ada".into() }).command_id("open-ada").await?;
    let account_id = ada.account_id.clone();
    accounts.deposit(DepositCommand { account_id: account_id.clone(), cents: 500 }).await?;
    let reply = accounts.withdraw(WithdrawCommand { account_id, cents: 200 }).await?;

    running.wait_for("balances", reply.receipt()).await?;
    let sum =
        balances.query(|tx| tx.query_row("SELECT sum(cents) FROM balance", [], |row| row.get::<_, i64>(0))).await?;
    println!("Ada has {} cents, and so says the table: {sum}", reply.balance_cents);
    running.shutdown().await;
    store.shutdown().await
}
