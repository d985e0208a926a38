//! A client of the bank, anywhere: it knows the services and where NATS is.

use std::time::Duration;

use bank::bank::v1::{
    AccountCommandServiceClient, AccountQueryServiceClient, AccountView, CloseAccountCommand, DepositCommand,
    GetStatementRequest, ListAccountsRequest, OpenAccountCommand, TransferCommand, WithdrawCommand,
};
use es_core::{AppError, Error, Result};
use es_nats::NatsTransport;
use tokio::time::sleep;

use crate::{
    cli::{Request, euros},
    nats::url,
};

/// Sends one request and shows the answer. A refusal is shown as well, and ends the program with 1.
pub(crate) async fn run(request: Request) -> Result<()> {
    match send(request).await {
        Err(Error::Rejected(refusal)) => {
            println!("Refused: {refusal}.");
            std::process::exit(1);
        }
        Err(Error::Unavailable { why }) => {
            Err(Error::Unavailable { why: format!("{why}; is `bank serve` running, and its NATS at NATS_URL?") })
        }
        answered => answered,
    }
}

async fn send(request: Request) -> Result<()> {
    let transport = NatsTransport::connect(url()).await?;
    let accounts = AccountCommandServiceClient::new(transport.clone());
    Client { accounts, queries: AccountQueryServiceClient::new(transport) }.send(request).await
}

struct Client {
    accounts: AccountCommandServiceClient,
    queries: AccountQueryServiceClient,
}

impl Client {
    async fn send(&self, request: Request) -> Result<()> {
        let (owner, reply) = match request {
            Request::List => return self.list().await,
            Request::Statement { owner } => return self.statement(&owner).await,
            Request::Open { owner } => {
                let opened = self.accounts.open_account(OpenAccountCommand { owner: owner.clone() }).await;
                let opened = opened.map_err(|error| owner_taken(error, &owner))?;
                (owner, opened)
            }
            Request::Deposit { owner, cents } => {
                let command = DepositCommand { account_id: self.account_of(&owner).await?, cents };
                (owner, self.accounts.deposit(command).await?)
            }
            Request::Withdraw { owner, cents } => {
                let command = WithdrawCommand { account_id: self.account_of(&owner).await?, cents };
                (owner, self.accounts.withdraw(command).await?)
            }
            Request::Transfer { owner, to, cents } => {
                let (account_id, to_account_id) = (self.account_of(&owner).await?, self.account_of(&to).await?);
                (owner, self.accounts.transfer(TransferCommand { account_id, to_account_id, cents }).await?)
            }
            Request::Close { owner } => {
                let command = CloseAccountCommand { account_id: self.account_of(&owner).await? };
                (owner, self.accounts.close_account(command).await?)
            }
        };
        println!("{owner} has {} now (event {}).", euros(reply.balance_cents), reply.receipt().position);
        Ok(())
    }

    async fn list(&self) -> Result<()> {
        for AccountView { owner, balance_cents, open, .. } in self.all().await? {
            println!("{owner:<12}{:>12}{}", euros(balance_cents), if open { "" } else { "  closed" });
        }
        Ok(())
    }

    async fn statement(&self, owner: &str) -> Result<()> {
        let account_id = self.account_of(owner).await?;
        for line in self.queries.get_statement(GetStatementRequest { account_id }).await?.lines {
            println!("{:<20}{:>12}{:>12}", line.text, euros(line.cents), euros(line.balance_cents));
        }
        Ok(())
    }

    /// Looks again for a moment: the read model follows the events, and the account may have been opened just now.
    async fn account_of(&self, owner: &str) -> Result<String> {
        for pause in [10, 50, 200, 500].map(Duration::from_millis) {
            let found = self.all().await?.into_iter().find(|account| account.open && account.owner == owner);
            if let Some(account) = found {
                return Ok(account.account_id);
            }
            sleep(pause).await;
        }
        Err(AppError::not_found("NO_ACCOUNT", format!("{owner} has no account")).solution("open one first").into())
    }

    async fn all(&self) -> Result<Vec<AccountView>> {
        Ok(self.queries.list_accounts(ListAccountsRequest {}).await?.accounts)
    }
}

/// Says of a name that is taken whose it is.
fn owner_taken(error: Error, owner: &str) -> Error {
    match error {
        Error::Rejected(refusal) if refusal.code() == "UNIQUE_TAKEN" => {
            AppError::already_exists("OWNER_TAKEN", format!("{owner} has an account already")).into()
        }
        error => error,
    }
}
