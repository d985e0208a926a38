//! The rules of the bank, given events, when a command, then events or a refusal. No store, no server.

use bank::{
    account::Accounts,
    bank::v1::{
        Account, AccountClosed, AccountCommandService, AccountOpened, AccountResponse, CloseAccountCommand,
        DepositCommand, MoneyDeposited, MoneyWithdrawn, OpenAccountCommand, TransferCommand, TransferReceived,
        TransferSent, WithdrawCommand,
    },
};
use es_core::testing::{Decided, Given, given};

fn opened(id: &str, owner: &str) -> AccountOpened {
    AccountOpened { account_id: id.into(), owner: owner.into() }
}

fn deposited(cents: i64) -> MoneyDeposited {
    MoneyDeposited { account_id: "ada".into(), cents }
}

fn ada_with(cents: i64) -> Given<Account> {
    given::<Account>("ada").event(opened("ada", "Ada")).event(deposited(cents))
}

async fn withdraw(given: Given<Account>, cents: i64) -> Decided<Account, AccountResponse> {
    let command = WithdrawCommand { account_id: "ada".into(), cents };
    given.when(async |account, context| Accounts.withdraw(account, command, context).await).await
}

async fn transfer(given: Given<Account>, to: &str, cents: i64) -> Decided<Account, AccountResponse> {
    let command = TransferCommand { account_id: "ada".into(), to_account_id: to.into(), cents };
    given.when(async |account, context| Accounts.transfer(account, command, context).await).await
}

#[tokio::test]
async fn an_account_is_opened_for_someone() {
    let open = |owner: &str| OpenAccountCommand { owner: owner.into() };
    given::<Account>("ada")
        .when(async |account, context| Accounts.open_account(account, open("Ada"), context).await)
        .await
        .then_events([opened("ada", "Ada")]);
    given::<Account>("ada")
        .when(async |account, context| Accounts.open_account(account, open(""), context).await)
        .await
        .then_error("OWNER_MISSING");
}

#[tokio::test]
async fn a_deposit_raises_the_balance_and_has_to_be_more_than_nothing() {
    for (cents, refused) in [(1, None), (0, Some("INVALID_AMOUNT")), (-5, Some("INVALID_AMOUNT"))] {
        let command = DepositCommand { account_id: "ada".into(), cents };
        let decided =
            ada_with(10).when(async |account, context| Accounts.deposit(account, command, context).await).await;
        match refused {
            None => assert_eq!(decided.then_events([deposited(cents)]).state().balance_cents, 11),
            Some(code) => drop(decided.then_error(code)),
        }
    }
}

#[tokio::test]
async fn no_account_holds_more_than_can_be_counted() {
    let deposit = async |cents| {
        let command = DepositCommand { account_id: "ada".into(), cents };
        ada_with(1).when(async |account, context| Accounts.deposit(account, command, context).await).await
    };
    deposit(i64::MAX - 1).await.then_events([deposited(i64::MAX - 1)]);
    deposit(i64::MAX).await.then_error("AMOUNT_TOO_LARGE");
    let rich = MoneyDeposited { account_id: "bob".into(), cents: i64::MAX };
    let bob = ada_with(1).and::<Account, _>("bob", opened("bob", "Bob")).and::<Account, _>("bob", rich);
    transfer(bob, "bob", 1).await.then_error("AMOUNT_TOO_LARGE");
}

#[tokio::test]
async fn no_more_is_withdrawn_than_there_is() {
    let withdrawn = MoneyWithdrawn { account_id: "ada".into(), cents: 10 };
    let decided = withdraw(ada_with(10), 10).await.then_events([withdrawn]);
    assert_eq!((decided.response().balance_cents, decided.response().version), (0, 3));
    let refusal = withdraw(ada_with(10), 11).await.then_error("INSUFFICIENT_FUNDS");
    assert_eq!(refusal.details()["balance_cents"], "10");
}

#[tokio::test]
async fn a_transfer_changes_both_accounts() {
    let sent = TransferSent { account_id: "ada".into(), cents: 4, to_account_id: "bob".into(), to_owner: "Bob".into() };
    let received = TransferReceived {
        account_id: "bob".into(),
        cents: 4,
        from_account_id: "ada".into(),
        from_owner: "Ada".into(),
    };
    transfer(ada_with(10).and::<Account, _>("bob", opened("bob", "Bob")), "bob", 4)
        .await
        .then_events([sent])
        .then_events_of::<Account, _>("bob", [received]);
}

#[tokio::test]
async fn a_transfer_needs_money_and_another_open_account() {
    let bob = |given: Given<Account>| given.and::<Account, _>("bob", opened("bob", "Bob"));
    transfer(bob(ada_with(10)), "bob", 11).await.then_error("INSUFFICIENT_FUNDS");
    transfer(ada_with(10), "nobody", 4).await.then_error("ACCOUNT_NOT_OPEN");
    let closed = AccountClosed { account_id: "bob".into() };
    transfer(bob(ada_with(10)).and::<Account, _>("bob", closed), "bob", 4).await.then_error("ACCOUNT_NOT_OPEN");
    transfer(ada_with(10), "ada", 4).await.then_error("SAME_ACCOUNT");
}

#[tokio::test]
async fn only_an_empty_account_is_closed_and_then_nothing_more_happens() {
    let close = || CloseAccountCommand { account_id: "ada".into() };
    let closed = AccountClosed { account_id: "ada".into() };
    ada_with(1)
        .when(async |account, context| Accounts.close_account(account, close(), context).await)
        .await
        .then_error("ACCOUNT_NOT_EMPTY");
    given::<Account>("ada")
        .event(opened("ada", "Ada"))
        .when(async |account, context| Accounts.close_account(account, close(), context).await)
        .await
        .then_events([closed.clone()]);
    withdraw(ada_with(1).event(closed), 1).await.then_error("ACCOUNT_NOT_OPEN");
}
