//! A bank over NATS, with handlers that can be told to misbehave.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bank::bank::v1::{
    Account, AccountCommandService, AccountCommandServiceClient, AccountCommandServiceServer, AccountOpened,
    AccountRepository, AccountResponse, CloseAccountCommand, DepositCommand, MoneyDeposited, OpenAccountCommand,
    TransferCommand, WithdrawCommand,
};
use es_core::{AppError, CommandContext, EventStore, MemoryStore, Root};
use es_nats::{Nats, NatsServer, Serving};
use tokio::sync::Semaphore;

pub const SERVICE: &str = "bank.v1.AccountCommandService";

/// Counts what it is asked to do, and does it once it may.
#[derive(Clone, Debug)]
pub struct Teller {
    pub asked: Arc<AtomicUsize>,
    pub at_once: Arc<AtomicUsize>,
    pub most_at_once: Arc<AtomicUsize>,
    /// Taken and given back by each deposit: without permits, deposits wait.
    pub may: Arc<Semaphore>,
}

impl Default for Teller {
    fn default() -> Self {
        Self {
            asked: Arc::default(),
            at_once: Arc::default(),
            most_at_once: Arc::default(),
            may: Arc::new(Semaphore::new(1_000)),
        }
    }
}

impl Teller {
    pub fn who_waits() -> Self {
        Self { may: Arc::new(Semaphore::new(0)), ..Self::default() }
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub fn server(&self, store: Arc<dyn EventStore>) -> AccountCommandServiceServer<Self> {
        AccountCommandServiceServer::new(self.clone(), AccountRepository::new(store))
    }
}

impl AccountCommandService for Teller {
    async fn open_account(
        &self,
        account: &mut Root<Account>,
        command: OpenAccountCommand,
        _: &CommandContext,
    ) -> Result<AccountResponse, AppError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        account.claim("owner", &command.owner);
        account.emit(AccountOpened { account_id: account.id().to_string(), owner: command.owner });
        Ok(answer(account))
    }

    async fn deposit(
        &self,
        account: &mut Root<Account>,
        command: DepositCommand,
        _: &CommandContext,
    ) -> Result<AccountResponse, AppError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        let waited = self.may.acquire().await.is_ok();
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        assert!(waited && command.cents != 13, "told to panic");
        account.emit(MoneyDeposited { account_id: command.account_id, cents: command.cents });
        Ok(answer(account))
    }

    /// Refuses.
    async fn withdraw(
        &self,
        _: &mut Root<Account>,
        _: WithdrawCommand,
        _: &CommandContext,
    ) -> Result<AccountResponse, AppError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Err(AppError::failed_precondition("INSUFFICIENT_FUNDS", "the balance is too low")
            .solution("deposit first")
            .detail("balance_cents", 0))
    }

    /// Answers with so many bytes.
    async fn transfer(
        &self,
        account: &mut Root<Account>,
        command: TransferCommand,
        _: &CommandContext,
    ) -> Result<AccountResponse, AppError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let bytes = usize::try_from(command.cents).unwrap_or_default();
        account.emit(MoneyDeposited { account_id: command.account_id, cents: 1 });
        Ok(AccountResponse { account_id: "x".repeat(bytes), ..answer(account) })
    }

    /// Answers with what is known of the caller.
    async fn close_account(
        &self,
        account: &mut Root<Account>,
        command: CloseAccountCommand,
        context: &CommandContext,
    ) -> Result<AccountResponse, AppError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        account.emit(MoneyDeposited { account_id: command.account_id, cents: 1 });
        let metadata = context.metadata();
        let told = format!("{:?} {metadata:?}", context.command_id());
        Ok(AccountResponse { account_id: told, ..answer(account) })
    }
}

fn answer(account: &Root<Account>) -> AccountResponse {
    AccountResponse {
        account_id: account.id().to_string(),
        balance_cents: account.balance_cents,
        version: account.version(),
    }
}

pub fn deposit(account: &str, cents: i64) -> DepositCommand {
    DepositCommand { account_id: account.into(), cents }
}

pub fn memory() -> Arc<dyn EventStore> {
    Arc::new(MemoryStore::new())
}

pub async fn connect(server: &test_servers::NatsServer) -> Nats {
    Nats::connect(server.url()).await.unwrap()
}

/// Serves the teller over a connection of its own, and hands over a client over another.
pub async fn serve(
    server: &test_servers::NatsServer,
    teller: &Teller,
    store: Arc<dyn EventStore>,
    options: impl FnOnce(NatsServer) -> NatsServer,
) -> Serving {
    let nats = connect(server).await;
    options(NatsServer::new(&nats, &store)).serve(teller.server(store)).start().await.unwrap()
}

pub async fn client(server: &test_servers::NatsServer) -> AccountCommandServiceClient {
    AccountCommandServiceClient::new(es_nats::NatsTransport::new(&connect(server).await))
}
