//! A bank that gives back each cent that is withdrawn, and what its log has to say of that.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bank::{
    account::Accounts,
    bank::v1::{
        Account, AccountCommandServiceClient, AccountCommandServiceServer, AccountEvent, AccountHooks, AccountOpened,
        AccountRepository, DepositCommand, MoneyDeposited, MoneyWithdrawn, WithdrawCommand,
    },
};
use es_core::{
    Commit, Event, EventStore, Expected, LocalBus, LocalTransport, NewEvent, Reactor, RecordedEvent, Runner, StartFrom,
    StreamKey, partition_of, runner::State,
};
use es_sqlite::SqliteStore;

use crate::support::read_after;

/// Accounts that money is withdrawn from, and accounts that it goes to.
const SOURCES: u8 = 6;
const TARGETS: u8 = 3;

/// The reactor's name.
pub(crate) const REACTOR: &str = "giving back";

pub(crate) fn source(number: u8) -> String {
    format!("source-{number}")
}

/// The account that the cents of this withdrawal go to.
pub(crate) fn target(position: u64) -> String {
    format!("target-{}", position % u64::from(TARGETS))
}

/// Opens the accounts.
pub(crate) async fn open_accounts(store: &SqliteStore) {
    let (sources, targets) = ((0..SOURCES).map(source), (0..TARGETS).map(|number| target(number.into())));
    for account_id in sources.chain(targets) {
        let stream = StreamKey::of::<Account>((&*account_id).try_into().unwrap());
        let events = [
            AccountEvent::from(AccountOpened { account_id: account_id.clone(), owner: account_id.clone() }),
            MoneyDeposited { account_id, cents: 1_000_000_000_000 }.into(),
        ];
        let events = events.iter().map(|event| NewEvent::encode(event).unwrap()).collect();
        store.append(Commit::append(stream, Expected::NoStream, events)).await.unwrap();
    }
}

/// A way to the bank's services in this process.
pub(crate) fn transport(store: &SqliteStore) -> LocalTransport {
    let server = AccountCommandServiceServer::new(Accounts, AccountRepository::new(store.clone()));
    LocalBus::new().serve(server).transport()
}

/// Deposits what was withdrawn, cent by cent, in the name of who runs it.
pub(crate) async fn reactor(store: &SqliteStore, partitions: u32, lease: Duration, who: &str) -> Reactor {
    let who = who.to_owned();
    Reactor::builder(REACTOR, transport(store), StartFrom::Beginning)
        .on_money_withdrawn(async move |commands, event, meta| {
            let accounts = AccountCommandServiceClient::new(commands);
            for _ in 0..event.cents {
                let deposit = DepositCommand { account_id: target(meta.position), cents: 1 };
                accounts.deposit(deposit).principal(&who).await?;
            }
            Ok(())
        })
        .partitions(partitions)
        .lease(lease)
        .build(store)
        .await
        .expect("a killed reactor can be built again")
}

/// Withdraws one cent or two from any account.
pub(crate) async fn withdraw(accounts: &AccountCommandServiceClient, rng: &mut fastrand::Rng) {
    let withdraw = WithdrawCommand { account_id: source(rng.u8(..SOURCES)), cents: rng.i64(1..=2) };
    accounts.withdraw(withdraw).await.expect("nothing but a kill keeps it from withdrawing");
}

/// What has happened, and what followed from it.
#[derive(Debug, Default)]
pub(crate) struct Reactions {
    read_to: u64,
    /// Withdrawals by position: from where, and how many deposits are to follow.
    wanted: BTreeMap<u64, (String, i64)>,
    /// Deposits by the position of what caused them.
    made: BTreeMap<u64, i64>,
    commands: BTreeSet<String>,
    by_whom: BTreeMap<String, u64>,
    latest: Option<(u64, String)>,
    /// Everything before was looked at and is as it should be.
    settled: u64,
}

impl Reactions {
    /// Reads on in the log, and says what should not be there.
    pub(crate) async fn read_on(&mut self, store: &SqliteStore) -> Vec<String> {
        let log = read_after(store, self.read_to).await;
        log.iter().filter_map(|event| self.learn(event)).collect()
    }

    fn learn(&mut self, event: &RecordedEvent) -> Option<String> {
        let (meta, origin) = (&event.meta, event.meta.origin().unwrap());
        self.read_to = meta.position;
        if *meta.event_type == *MoneyWithdrawn::TYPE {
            let MoneyWithdrawn { account_id, cents } = MoneyWithdrawn::decode_stored(event.encoded()).unwrap();
            self.wanted.insert(meta.position, (account_id, cents));
            return None;
        }
        let cause: u64 = origin.causation_id.as_ref()?.strip_prefix("event ")?.parse().ok()?;
        let made = self.made.entry(cause).or_default();
        *made += 1;
        let wanted = self.wanted.get(&cause).map_or(0, |(_, wanted)| *wanted);
        let who = origin.principal_id.clone().unwrap_or_default();
        *self.by_whom.entry(who.clone()).or_default() += 1;
        self.latest = Some((meta.position, who));
        if *made > wanted {
            return Some(format!("{made} deposits followed from the event at {cause}, {wanted} should have"));
        }
        let command = origin.command_id.clone().unwrap_or_default();
        let again = format!("command {command} was carried out again at {}", meta.position);
        (!self.commands.insert(command)).then_some(again)
    }

    /// What does not follow, although each partition has handled everything up to its checkpoint.
    pub(crate) fn missing(&mut self, checkpoints: &[u64]) -> Vec<String> {
        let partitions = u32::try_from(checkpoints.len()).unwrap();
        let (mut missing, highest) = (Vec::new(), checkpoints.iter().max().copied().unwrap_or_default());
        for (position, (source, wanted)) in self.wanted.range(self.settled..=highest) {
            let made = self.made.get(position).copied().unwrap_or_default();
            if *position <= checkpoints[partition_of(source, partitions) as usize] && made != *wanted {
                missing.push(format!("{made} deposits followed from the event at {position}, not {wanted}"));
            }
        }
        self.settled = checkpoints.iter().min().copied().unwrap_or_default();
        missing
    }

    /// Has a reactor handle the whole log, and says what is not as it should be then.
    pub(crate) async fn finish(&mut self, store: &SqliteStore, reactor: Reactor) -> Vec<String> {
        let mut violations = Vec::new();
        let running = Runner::new(store.clone()).run(reactor).start().unwrap();
        loop {
            violations.extend(self.read_on(store).await);
            let status = running.status(REACTOR).unwrap();
            assert!(!matches!(status.state, State::Faulted(_)), "{status:?}");
            if status.checkpoint >= self.read_to {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        running.shutdown().await;
        violations.extend(self.read_on(store).await);
        violations.extend(self.missing(&[self.read_to]));
        violations
    }

    /// How many deposits followed from events that no checkpoint covers.
    pub(crate) fn ahead_of(&self, checkpoints: &[u64]) -> i64 {
        let highest = checkpoints.iter().max().copied().unwrap_or_default();
        self.made.range(highest + 1..).map(|(_, made)| made).sum()
    }

    /// Where the last deposit stands, and who made it.
    pub(crate) fn latest(&self) -> Option<(u64, String)> {
        self.latest.clone()
    }

    /// How many deposits each has made.
    pub(crate) fn by_whom(&self) -> &BTreeMap<String, u64> {
        &self.by_whom
    }

    /// The last position that was read.
    pub(crate) fn read_to(&self) -> u64 {
        self.read_to
    }

    /// How many events were to be reacted to.
    pub(crate) fn causes(&self) -> u64 {
        self.wanted.len() as u64
    }
}
