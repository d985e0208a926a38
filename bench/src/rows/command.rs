//! The whole way of a command: client, bus, server, load, decide, append, reply.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use es_core::{AppError, CommandContext, LocalBus, Root, ensure};
use es_sqlite::SqliteStore;
use prost::Message;
use sha2::{Digest, Sha256};

use super::expect_stored;
use crate::{
    bench::v1::{
        Account, AccountCommandService, AccountCommandServiceClient, AccountCommandServiceServer, AccountRepository,
        AccountResponse, DepositCommand, MoneyDeposited,
    },
    by_hand::{
        connection,
        group_commit::GroupCommit,
        write::{Append, Command, Writer},
    },
    data,
    rounds::{Lab, Result, Row, Sample, Target, drive, drive_here, remove, warm_up},
};

/// Commands of clients that each have an account of their own, with and without command ids.
pub(crate) struct Commands {
    pub(crate) clients: u64,
    pub(crate) ids: bool,
}

impl Row for Commands {
    fn name(&self) -> String {
        format!("command-{}{}", self.clients, if self.ids { "-ids" } else { "" })
    }

    fn target(&self) -> Target {
        Target::Share(0.80)
    }

    fn unit(&self) -> &'static str {
        "commands"
    }

    fn ours(&mut self, lab: &Lab) -> Result<Sample> {
        let path = lab.fresh("command-ours")?;
        let Self { clients, ids } = *self;
        let (file, budget) = (path.clone(), lab.budget);
        let sample = lab.run(async move {
            let store = SqliteStore::open(file).await?;
            let server = AccountCommandServiceServer::new(Accounts, AccountRepository::new(store.clone()));
            let client = AccountCommandServiceClient::new(LocalBus::new().serve(server).transport());
            warm_up(clients, |caller| {
                let client = client.clone();
                async move { send(&client, &data::account_id(caller), caller, 0, ids).await }
            })
            .await?;
            let sample = drive(clients, budget, |caller, mut turns| {
                let client = client.clone();
                async move {
                    let account_id = data::account_id(caller);
                    while let Some(call) = turns.next() {
                        send(&client, &account_id, caller, call, ids).await?;
                    }
                    Ok(turns)
                }
            })
            .await?;
            drop(client);
            store.shutdown().await?;
            Ok(sample)
        })?;
        expect_stored(&path, clients, &sample)?;
        remove(&path)?;
        Ok(sample)
    }

    fn by_hand(&mut self, lab: &Lab) -> Result<Sample> {
        let path = lab.fresh("command-by-hand")?;
        lab.runtime.block_on(connection::create(&path))?;
        let sample = if self.clients == 1 { self.in_place(lab, &path)? } else { self.in_groups(lab, &path)? };
        expect_stored(&path, self.clients, &sample)?;
        remove(&path)?;
        Ok(sample)
    }
}

impl Commands {
    /// One connection, one commit after the other, the account in memory.
    fn in_place(&self, lab: &Lab, path: &Path) -> Result<Sample> {
        let connection = connection::writer(path)?;
        let mut writer = Writer::new(&connection)?;
        let account_id = data::account_id(0);
        let mut account = ByHand::default();
        let mut deposit = |call| -> Result<AccountResponse> {
            let command = data::deposit(&account_id, call);
            let (append, event, response) = account.decide(&account_id.as_str().into(), &command, 0, call, self.ids)?;
            writer.begin()?;
            writer.append(&append)?.map_err(|_| "someone else wrote")?;
            writer.commit()?;
            account.apply(&event);
            Ok(response)
        };
        deposit(0)?;
        drive_here(lab.budget, |turns| {
            while let Some(call) = turns.next() {
                deposit(call)?;
            }
            Ok(())
        })
    }

    /// Group commit, the accounts in a map.
    fn in_groups(&self, lab: &Lab, path: &Path) -> Result<Sample> {
        let Self { clients, ids } = *self;
        let (writer, thread) = GroupCommit::start(path);
        let bank = Bank { accounts: Arc::default(), writer };
        let budget = lab.budget;
        let sample = lab.run(async move {
            warm_up(clients, |caller| {
                let bank = bank.clone();
                async move {
                    bank.deposit(data::deposit(&data::account_id(caller), 0), caller, 0, ids).await?;
                    Ok(())
                }
            })
            .await?;
            drive(clients, budget, |caller, mut turns| {
                let bank = bank.clone();
                async move {
                    let account_id = data::account_id(caller);
                    while let Some(call) = turns.next() {
                        bank.deposit(data::deposit(&account_id, call), caller, call, ids).await?;
                    }
                    Ok(turns)
                }
            })
            .await
        })?;
        thread.join().map_err(|_| "the writing thread panicked")??;
        Ok(sample)
    }
}

pub(super) async fn send(
    client: &AccountCommandServiceClient,
    account_id: &str,
    caller: u64,
    call: u64,
    ids: bool,
) -> Result<()> {
    let mut deposit = client.deposit(data::deposit(account_id, call)).metadata(data::metadata(caller, call));
    if ids {
        deposit = deposit.command_id(data::call_id(caller, call));
    }
    let reply = deposit.await?;
    if reply.version == call + 1 { Ok(()) } else { Err(format!("version {} after call {call}", reply.version).into()) }
}

/// The decision, as an application writes it.
pub(super) struct Accounts;

impl AccountCommandService for Accounts {
    async fn deposit(
        &self,
        account: &mut Root<Account>,
        command: DepositCommand,
        _: &CommandContext,
    ) -> Result<AccountResponse, AppError> {
        ensure!(is_allowed(account, &command), AppError::invalid_argument("INVALID_AMOUNT", "too little or too much"));
        account.emit(MoneyDeposited { account_id: command.account_id, cents: command.cents, memo: command.memo });
        Ok(AccountResponse {
            account_id: account.id().to_string(),
            balance_cents: account.balance_cents,
            version: account.version(),
        })
    }
}

fn is_allowed(account: &Account, command: &DepositCommand) -> bool {
    command.cents > 0 && account.balance_cents.checked_add(command.cents).is_some()
}

/// An account in memory, and its version.
#[derive(Clone, Debug, Default)]
pub(super) struct ByHand {
    state: Account,
    version: i64,
}

impl ByHand {
    fn decide(
        &self,
        account_id: &Arc<str>,
        command: &DepositCommand,
        caller: u64,
        call: u64,
        with_id: bool,
    ) -> Result<(Append, MoneyDeposited, AccountResponse)> {
        if !is_allowed(&self.state, command) {
            return Err("too little or too much".into());
        }
        let event =
            MoneyDeposited { account_id: command.account_id.clone(), cents: command.cents, memo: command.memo.clone() };
        let response = AccountResponse {
            account_id: command.account_id.clone(),
            balance_cents: self.state.balance_cents + command.cents,
            version: (self.version + 1).cast_unsigned(),
        };
        let id = with_id.then(|| data::call_id(caller, call));
        let append = Append {
            account_id: Arc::clone(account_id),
            expected: Some(self.version),
            payload: event.encode_to_vec(),
            metadata: data::stored_metadata(caller, call, id.as_deref()),
            command: id.map(|id| Command {
                id,
                payload_hash: Sha256::digest(command.encode_to_vec()).into(),
                response: response.encode_to_vec(),
            }),
        };
        Ok((append, event, response))
    }

    fn apply(&mut self, event: &MoneyDeposited) {
        self.state.deposited(event);
        self.version += 1;
    }
}

/// The service by hand: accounts in a map, one writing thread.
#[derive(Clone)]
pub(super) struct Bank {
    pub(super) accounts: Arc<Mutex<HashMap<Arc<str>, ByHand>>>,
    pub(super) writer: GroupCommit,
}

impl Bank {
    pub(super) async fn deposit(
        &self,
        command: DepositCommand,
        caller: u64,
        call: u64,
        with_id: bool,
    ) -> Result<AccountResponse> {
        let account_id: Arc<str> = command.account_id.as_str().into();
        let (append, event, response) = {
            let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
            let account = accounts.entry(Arc::clone(&account_id)).or_default();
            account.decide(&account_id, &command, caller, call, with_id)?
        };
        self.writer.append(append).await?;
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.entry(account_id).or_default().apply(&event);
        Ok(response)
    }
}
