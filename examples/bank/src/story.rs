//! What happens in the bank, in words.

use std::time::Duration;

use es_core::{Error, EventLog, Receipt, Reply, Result};

use bank::{
    Bank,
    bank::v1::{
        AccountResponse, AccountView, CloseAccountCommand, DepositCommand, GetStatementRequest, ListAccountsRequest,
        OpenAccountCommand, TransferCommand, WithdrawCommand,
    },
};

use crate::cli::euros;

/// Opens the bank of a file, lets things happen in it, and closes it.
pub(crate) async fn run(file: &str) -> Result<()> {
    let bank = Bank::open(file).await?;
    tell(&bank).await?;
    bank.close().await?;
    println!("\nAll of it is in {file}. Run this again and the story goes on; delete the file and it starts anew.");
    Ok(())
}

/// Tells one chapter; a second run finds what the first left behind.
async fn tell(bank: &Bank) -> Result<()> {
    let before = bank.store.head().await?;
    match before {
        0 => println!("A new bank opens its doors.\n"),
        events => println!("The bank opens again. Its file holds {events} events from before.\n"),
    }
    bank.running.wait_for_position("balances", before, Duration::from_secs(10)).await?;
    let ada = account_of(bank, "Ada").await?;
    let bob = account_of(bank, "Bob").await?;

    let reply = bank.accounts.deposit(DepositCommand { account_id: ada.clone(), cents: 10_000 }).await?;
    println!("Ada deposits 100.00 and has {}.", euros(reply.balance_cents));

    let transfer = TransferCommand { account_id: ada.clone(), to_account_id: bob.clone(), cents: 3_000 };
    let id = format!("rent-{before}");
    let reply = bank.accounts.transfer(transfer.clone()).command_id(&*id).await?;
    println!("Ada sends Bob 30.00: both accounts change, or neither. She has {}.", euros(reply.balance_cents));

    let again = bank.accounts.transfer(transfer).command_id(&*id).await?;
    println!(
        "Her phone sends the same command again, under the same id `{id}`. It gets {} from the record, and no money moves.",
        if *again == *reply && again.receipt().replayed { "the same answer" } else { "another answer?!" }
    );

    let too_much = WithdrawCommand { account_id: bob.clone(), cents: 100_000_000 };
    match bank.accounts.withdraw(too_much).await {
        Err(Error::Rejected(refusal)) => println!("Bob tries to withdraw a million. Refused: {refusal}."),
        Err(error) => return Err(error),
        Ok(_) => println!("Bob withdraws a million?!"),
    }
    let reply = bank.accounts.withdraw(WithdrawCommand { account_id: bob.clone(), cents: 1_000 }).await?;
    println!("Bob withdraws 10.00 and has {}.", euros(reply.balance_cents));

    let last = short_visit(bank).await?.unwrap_or_else(|| reply.receipt().clone());
    show(bank, &last, &ada).await
}

/// The account of a person: the one found in the read model, or a new one.
async fn account_of(bank: &Bank, owner: &str) -> Result<String> {
    let accounts = bank.queries.list_accounts(ListAccountsRequest {}).await?.accounts;
    if let Some(AccountView { account_id, balance_cents, .. }) =
        accounts.into_iter().find(|a| a.open && a.owner == owner)
    {
        println!("{owner} is back; there are {} in the account.", euros(balance_cents));
        return Ok(account_id);
    }
    let opened = open(bank, owner).await?;
    println!("{owner} opens an account.");
    match open(bank, owner).await {
        Err(Error::UniqueTaken { constraint }) => {
            println!("Someone else wants to be {owner} too. Refused: `{constraint}` is unique.");
        }
        Err(error) => return Err(error),
        Ok(_) => println!("Two of the name {owner}?!"),
    }
    Ok(opened.account_id.clone())
}

/// Eve opens an account and closes it again; her name is free after that. In a bank where she has one, nothing happens.
async fn short_visit(bank: &Bank) -> Result<Option<Receipt>> {
    let eve = match open(bank, "Eve").await {
        Err(Error::UniqueTaken { .. }) => {
            println!("Eve wants to open an account, and has one.");
            return Ok(None);
        }
        opened => opened?.account_id.clone(),
    };
    let reply = bank.accounts.close_account(CloseAccountCommand { account_id: eve }).await?;
    println!("Eve opens an account, thinks better of it, and closes it.");
    Ok(Some(reply.receipt().clone()))
}

async fn open(bank: &Bank, owner: &str) -> Result<Reply<AccountResponse>> {
    bank.accounts.open_account(OpenAccountCommand { owner: owner.into() }).await
}

/// Waits until the read models have seen everything, then asks them.
async fn show(bank: &Bank, last: &Receipt, account_id: &str) -> Result<()> {
    bank.running.wait_for("balances", last).await?;
    bank.running.wait_for("statements", last).await?;

    println!("\nBalances, from a table made of the events:");
    let accounts = bank.queries.list_accounts(ListAccountsRequest {}).await?.accounts;
    let (open, closed): (Vec<_>, Vec<_>) = accounts.into_iter().partition(|account| account.open);
    for account in open {
        println!("  {:<6}{:>10}", account.owner, euros(account.balance_cents));
    }
    println!("  closed accounts: {}", closed.len());
    println!("\nAda's statement:");
    let statement = bank.queries.get_statement(GetStatementRequest { account_id: account_id.into() }).await?;
    for line in statement.lines {
        let at = line.at.map(|at| at.to_string()).unwrap_or_default();
        // To the second: 2026-11-20T23:25:48
        let at = at.get(..19).unwrap_or(&at).replace('T', " ");
        println!("  {at}  {:<12}{:>10}{:>12}", line.text, euros(line.cents), euros(line.balance_cents));
    }
    println!("\nThe log holds {} events.", bank.store.head().await?);
    Ok(())
}
