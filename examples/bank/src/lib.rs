//! An event-sourced bank on one SQLite file: the rules, the read models, and how they are put together.

pub mod account;
pub mod read_models;

use std::path::PathBuf;

use es_core::{LocalBus, Result, Runner, Running};
use es_sqlite::SqliteStore;

use crate::{
    account::Accounts,
    bank::v1::{
        AccountCommandServiceClient, AccountCommandServiceServer, AccountQueryServiceClient, AccountQueryServiceServer,
        AccountRepository,
    },
    read_models::Queries,
};

es_core::include_protos!();

/// The bank, put together: one file, two services, two read models.
#[derive(Debug)]
pub struct Bank {
    /// The events.
    pub store: SqliteStore,
    /// What keeps the read models up to date.
    pub running: Running,
    /// The services.
    pub bus: LocalBus,
    /// Sends commands.
    pub accounts: AccountCommandServiceClient,
    /// Asks queries.
    pub queries: AccountQueryServiceClient,
}

impl Bank {
    /// Opens the bank in a file, which is made if it is not there.
    ///
    /// # Errors
    /// Where the file can't be opened, or is not a bank's.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let store = SqliteStore::open(path).await?;
        let balances = read_models::balances().build(&store)?;
        let statements = read_models::statements().build(&store)?;
        let running = Runner::new(store.clone()).run(balances.clone()).run(statements.clone()).start()?;

        let bus = LocalBus::new()
            .serve(AccountCommandServiceServer::new(Accounts, AccountRepository::new(store.clone())))
            .serve(AccountQueryServiceServer::new(Queries { balances, statements }));
        Ok(Self {
            store,
            running,
            accounts: AccountCommandServiceClient::new(bus.transport()),
            queries: AccountQueryServiceClient::new(bus.transport()),
            bus,
        })
    }

    /// Closes the bank; what was acknowledged is in the file.
    ///
    /// # Errors
    /// Where the file can't be closed cleanly.
    pub async fn close(self) -> Result<()> {
        self.running.shutdown().await;
        self.store.shutdown().await
    }
}
