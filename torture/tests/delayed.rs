//! Processes killed while they schedule commands and deliver them: each is carried out once, and never if it was
//! cancelled in time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::OpenOptions,
    io::Write,
    sync::Arc,
    time::Duration,
};

use bank::{
    account::Accounts,
    bank::v1::{
        Account, AccountCommandService, AccountCommandServiceClient, AccountCommandServiceServer, AccountRepository,
        AccountResponse, CloseAccountCommand, DepositCommand, MoneyWithdrawn, OpenAccountCommand, TransferCommand,
        WithdrawCommand,
    },
};
use es_core::{
    AppError, Clock, CommandContext, Deliveries, Event, EventLog, EventStore, LocalBus, LocalTransport, ManualClock,
    Root, Schedule, SystemClock, Timestamp,
};
use es_sqlite::SqliteStore;
use torture::{
    child::{self, Start, argument, ready},
    effort,
    table::Row,
    test_name,
};

use crate::{
    reactions::{self, open_accounts},
    support::{folder, massacre, read_after, run},
};

const FILE: &str = "TORTURE_FILE";
const NAME: &str = "TORTURE_NAME";
const ROUND: &str = "TORTURE_ROUND";
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than a command is leased for delivery: what a killed process had is due again in the next round.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(11);

/// The machine's clock, ahead by so much.
#[derive(Debug)]
struct Ahead(Duration);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().saturating_add(self.0)
    }
}

fn clock(round: u32) -> Ahead {
    Ahead(BETWEEN_ROUNDS * round)
}

/// What is sent later: one cent for any account, in the name of the key it is scheduled under.
fn deposit(accounts: &AccountCommandServiceClient, key: &str) -> es_core::Call<AccountResponse> {
    let account_id = reactions::target(key.bytes().map(u64::from).sum());
    accounts.deposit(DepositCommand { account_id, cents: 1 }).principal(key)
}

/// Accounts that give back later what is withdrawn, under the command's id as the key.
struct Later(AccountCommandServiceClient);

impl AccountCommandService for Later {
    async fn withdraw(
        &self,
        account: &mut Root<Account>,
        command: WithdrawCommand,
        context: &CommandContext,
    ) -> Result<AccountResponse, AppError> {
        let key = context.command_id().map(ToString::to_string).unwrap_or_default();
        let due = context.now().saturating_add(Duration::from_millis(command.cents.cast_unsigned() - 1));
        context.schedule(&key, due, deposit(&self.0, &key))?;
        Accounts.withdraw(account, command, context).await
    }

    async fn deposit(
        &self,
        account: &mut Root<Account>,
        command: DepositCommand,
        context: &CommandContext,
    ) -> Result<AccountResponse, AppError> {
        Accounts.deposit(account, command, context).await
    }

    async fn open_account(
        &self,
        account: &mut Root<Account>,
        command: OpenAccountCommand,
        context: &CommandContext,
    ) -> Result<AccountResponse, AppError> {
        Accounts.open_account(account, command, context).await
    }

    async fn transfer(
        &self,
        account: &mut Root<Account>,
        command: TransferCommand,
        context: &CommandContext,
    ) -> Result<AccountResponse, AppError> {
        Accounts.transfer(account, command, context).await
    }

    async fn close_account(
        &self,
        account: &mut Root<Account>,
        command: CloseAccountCommand,
        context: &CommandContext,
    ) -> Result<AccountResponse, AppError> {
        Accounts.close_account(account, command, context).await
    }
}

fn transport(store: &SqliteStore) -> LocalTransport {
    let bus = LocalBus::new();
    let transport = bus.transport();
    let accounts = Later(AccountCommandServiceClient::new(transport.clone()));
    let _served = bus.serve(AccountCommandServiceServer::new(accounts, AccountRepository::new(store.clone())));
    transport
}

fn history(file: &str, name: &str) -> String {
    format!("{file}.{name}.history")
}

#[test]
fn a_victim() {
    if child::role().is_none() {
        return;
    }
    let (file, name) = (argument(FILE), argument(NAME));
    run(async {
        let clock = clock(argument(ROUND).parse().unwrap());
        let store = SqliteStore::builder(&file).busy_timeout(PATIENCE).clock(clock).open().await;
        let store = store.expect("a killed file opens");
        let transport = transport(&store);
        let accounts = AccountCommandServiceClient::new(transport.clone());
        let _delivering = Deliveries::new(store.clone(), transport).start().unwrap();
        let schedule = Schedule::new(store.clone());
        let mut history = OpenOptions::new().create(true).append(true).open(history(&file, &name)).unwrap();
        let mut note = |line: String| history.write_all(line.as_bytes()).unwrap();
        let mut rng = fastrand::Rng::new();
        ready();
        for number in 0.. {
            let key = format!("{name}-{number}");
            match rng.u8(..3) {
                0 => {
                    let withdraw = WithdrawCommand { account_id: reactions::source(rng.u8(..3)), cents: rng.i64(1..5) };
                    match accounts.withdraw(withdraw).command_id(&*key).await {
                        Ok(_) => note(format!("scheduled {key}\n")),
                        // Other processes withdraw, too.
                        Err(es_core::Error::Conflict { .. }) => {}
                        Err(error) => panic!("nothing but a kill keeps it from scheduling: {error:?}"),
                    }
                }
                1 => {
                    let due = store.now().saturating_add(Duration::from_millis(rng.u64(..5)));
                    schedule.at(&key, due, deposit(&accounts, &key)).await.unwrap();
                    note(format!("scheduled {key}\n"));
                }
                _ => {
                    let due = store.now().saturating_add(Duration::from_millis(rng.u64(..40)));
                    schedule.at(&key, due, deposit(&accounts, &key)).await.unwrap();
                    schedule.cancel(&key).await.unwrap();
                    if store.now() < due {
                        note(format!("cancelled {key}\n"));
                    }
                }
            }
        }
    });
}

/// What was said of commands, and what became of them.
#[derive(Default)]
struct Commands {
    scheduled: BTreeSet<String>,
    cancelled: BTreeSet<String>,
    carried_out: BTreeMap<String, u64>,
    read_to: u64,
}

impl Commands {
    fn learn(&mut self, history: &str) {
        let text = std::fs::read_to_string(history).unwrap_or_default();
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let (what, key) = line.split_once(' ').expect("a line has two words");
            let keys = if what == "scheduled" { &mut self.scheduled } else { &mut self.cancelled };
            keys.insert(key.to_owned());
        }
    }

    async fn read_on(&mut self, store: &SqliteStore) {
        for event in read_after(store, self.read_to).await {
            let origin = event.meta.origin().unwrap();
            self.read_to = event.meta.position;
            if let Some(key) = &origin.principal_id {
                *self.carried_out.entry(key.clone()).or_default() += 1;
            } else if *event.meta.event_type == *MoneyWithdrawn::TYPE {
                // With its event a command is scheduled, also where nobody was told so any more.
                self.scheduled.extend(origin.command_id.clone());
            }
        }
    }

    fn times(&self, key: &String) -> u64 {
        self.carried_out.get(key).copied().unwrap_or_default()
    }

    /// What was carried out too often.
    fn wrong(&self) -> impl Iterator<Item = String> {
        let again = self.carried_out.iter().filter(|(_, times)| **times > 1);
        let again = again.map(|(key, times)| format!("`{key}` was carried out {times} times"));
        let cancelled = self.cancelled.iter().filter(|key| self.times(key) > 0);
        again.chain(cancelled.map(|key| format!("`{key}` was carried out although it was cancelled in time")))
    }

    fn missing(&self) -> impl Iterator<Item = String> {
        let missing = self.scheduled.iter().filter(|key| self.times(key) == 0);
        missing.map(|key| format!("`{key}` was scheduled and not carried out"))
    }
}

#[test]
fn scheduled_commands_of_killed_processes_are_carried_out_once_and_cancelled_ones_never() {
    let rounds = effort::times(100, 1_000);
    let test = "killed while delivering";
    let mut rng = effort::lots(test);
    let (_folder, path) = folder();
    let (mut violations, mut kills, mut amid) = (Vec::new(), 0, 0);
    let mut commands = Commands::default();
    run(async {
        let store = SqliteStore::open(&path).await.unwrap();
        open_accounts(&store).await;
        store.shutdown().await.unwrap();
    });
    let file = path.to_str().unwrap();
    for round in 0..rounds {
        let names: Vec<_> = (0..2).map(|child| format!("p{round}x{child}")).collect();
        let start = |name: &String| {
            let start = Start::new(test_name!(a_victim), "both").argument(FILE, &path).argument(NAME, name);
            start.argument(ROUND, round.to_string()).start()
        };
        kills += massacre(names.iter().map(start).collect(), &mut rng, 60_000);
        for name in &names {
            commands.learn(&history(file, name));
            let _ = std::fs::remove_file(history(file, name));
        }
        run(async {
            let store = SqliteStore::open(&path).await.expect("opens without repair");
            commands.read_on(&store).await;
            // Carried out by one who was killed before the schedule knew.
            let now = clock(u32::try_from(round).unwrap() + 1).now();
            for command in store.due(now, usize::MAX).await.unwrap() {
                amid += u64::from(commands.times(&command.unwrap().key().to_string()) > 0);
            }
            store.shutdown().await.unwrap();
        });
    }
    run(async {
        let clock = Arc::new(ManualClock::at(clock(u32::try_from(rounds).unwrap()).now()));
        let store = SqliteStore::builder(&path).clock(Arc::clone(&clock)).open().await.unwrap();
        let deliveries = Deliveries::new(store.clone(), transport(&store));
        while store.next_due(Timestamp::default()).await.unwrap().is_some() {
            deliveries.run_due().await.unwrap();
            clock.advance(BETWEEN_ROUNDS);
        }
        commands.read_on(&store).await;
        store.shutdown().await.unwrap();
    });
    violations.extend(commands.wrong().chain(commands.missing()));
    let (scheduled, cancelled) = (commands.scheduled.len() as u64, commands.cancelled.len() as u64);
    Row { rounds, kills, seeds: 1, acknowledged: scheduled, ..Row::default() }.close(test, &violations);
    println!("{test}: {cancelled} cancelled, {amid} carried out and not yet settled when a round ended");
    assert!(scheduled > rounds / 2 && cancelled > rounds / 4, "{scheduled} were scheduled, {cancelled} cancelled");
    assert!(amid > 0, "no process was killed between a command and the end of its delivery");
    assert!(kills > rounds, "only {kills} processes were still there to be killed");
}
