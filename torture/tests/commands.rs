//! A crowd of commands for one account: no conflict reaches a caller of the same process, and hardly any one of
//! another.

use std::time::{Duration, Instant};

use bank::{
    account::Accounts,
    bank::v1::{
        AccountCommandServiceClient, AccountCommandServiceServer, AccountRepository, DepositCommand,
        OpenAccountCommand, WithdrawCommand,
    },
};
use es_core::{Error, EventStore, LocalBus, StreamKey};
use es_sqlite::SqliteStore;
use torture::{
    child::{self, Start, argument, ready},
    effort,
    table::Row,
    test_name,
};

use crate::support::{folder, run};

const FILE: &str = "TORTURE_FILE";
const ACCOUNT: &str = "TORTURE_ACCOUNT";
const SECONDS: &str = "TORTURE_SECONDS";

fn client(store: &SqliteStore) -> AccountCommandServiceClient {
    let server = AccountCommandServiceServer::new(Accounts, AccountRepository::new(store.clone()));
    AccountCommandServiceClient::new(LocalBus::new().serve(server).transport())
}

/// Deposits a cent again and again from many tasks. Returns how many were deposited, and how many met a conflict.
async fn storm(store: &SqliteStore, account: &str, tasks: u64, length: Duration) -> (u64, u64) {
    let accounts = client(store);
    let end = Instant::now() + length;
    let tasks: Vec<_> = (0..tasks)
        .map(|_| {
            let (accounts, account_id) = (accounts.clone(), account.to_owned());
            tokio::spawn(async move {
                let (mut deposited, mut conflicts) = (0, 0);
                // Each gets its turn, however slow the machine.
                while deposited + conflicts == 0 || Instant::now() < end {
                    match accounts.deposit(DepositCommand { account_id: account_id.clone(), cents: 1 }).await {
                        Ok(_) => deposited += 1,
                        Err(Error::Conflict { .. }) => conflicts += 1,
                        Err(error) => panic!("{error:?}"),
                    }
                }
                (deposited, conflicts)
            })
        })
        .collect();
    let mut sum = (0, 0);
    for task in tasks {
        let (deposited, conflicts) = task.await.unwrap();
        sum = (sum.0 + deposited, sum.1 + conflicts);
    }
    sum
}

/// The account's stream has what was deposited, and nothing else.
async fn assert_deposited(store: &SqliteStore, account: &str, deposited: u64) {
    let stream = StreamKey::of::<bank::bank::v1::Account>(account.try_into().unwrap());
    assert_eq!(store.version(&stream).await.unwrap(), 1 + deposited);
    let account = AccountRepository::new(store.clone()).load(account).await.unwrap();
    assert_eq!(account.balance_cents.cast_unsigned(), deposited);
}

#[test]
fn sixty_four_tasks_on_one_account_meet_no_conflict_in_one_process() {
    let test = "64 tasks, one stream, one process";
    let (_folder, path) = folder();
    run(async {
        let store = SqliteStore::open(&path).await.unwrap();
        let opened = client(&store).open_account(OpenAccountCommand { owner: "Ada".into() }).await.unwrap();
        let length = Duration::from_secs(effort::times(2, 10));
        let (deposited, conflicts) = storm(&store, &opened.account_id, 64, length).await;
        println!("{test}: {deposited} commands, {conflicts} conflicts");
        assert_deposited(&store, &opened.account_id, deposited).await;
        let violations: Vec<_> = (conflicts > 0).then(|| format!("{conflicts} conflicts")).into_iter().collect();
        Row { rounds: 1, acknowledged: deposited, ..Row::default() }.close(test, &violations);
    });
}

#[test]
fn one_of_four_processes() {
    if child::role().is_none() {
        return;
    }
    run(async {
        let length = Duration::from_secs(argument(SECONDS).parse().unwrap());
        let store = SqliteStore::builder(argument(FILE)).busy_timeout(Duration::from_secs(60)).open().await.unwrap();
        ready();
        let (deposited, conflicts) = storm(&store, &argument(ACCOUNT), 16, length).await;
        println!("\nstored {deposited} {conflicts}");
    });
}

#[test]
fn four_processes_on_one_account_meet_hardly_any_conflict() {
    let test = "64 tasks, one stream, four processes";
    let (_folder, path) = folder();
    run(async {
        let store = SqliteStore::open(&path).await.unwrap();
        let opened = client(&store).open_account(OpenAccountCommand { owner: "Ada".into() }).await.unwrap();
        let start = || {
            let child = Start::new(test_name!(one_of_four_processes), "storms").argument(FILE, &path);
            child.argument(ACCOUNT, &opened.account_id).argument(SECONDS, effort::times(2, 10).to_string()).start()
        };
        let children: Vec<_> = (0..4).map(|_| start()).collect();
        let (mut deposited, mut conflicts) = (0, 0);
        for child in children {
            let (status, said, complained) = child.end();
            assert!(status.success(), "{said}\n{complained}");
            let line = said.lines().find_map(|line| line.strip_prefix("stored ")).expect("a child says what it did");
            let (stored, lost) = line.split_once(' ').unwrap();
            deposited += stored.parse::<u64>().unwrap();
            conflicts += lost.parse::<u64>().unwrap();
        }
        println!("{test}: {deposited} commands, {conflicts} conflicts");
        assert_deposited(&store, &opened.account_id, deposited).await;
        // One in a hundred is what is promised; the short form is too short to tell that from three.
        let per_hundred = effort::times(3, 1);
        let too_many = conflicts * 100 > deposited * per_hundred;
        let violations: Vec<_> =
            too_many.then(|| format!("{conflicts} conflicts beside {deposited} commands")).into_iter().collect();
        Row { rounds: 1, acknowledged: deposited, ..Row::default() }.close(test, &violations);
    });
}

/// A store keeps the aggregates it used last in memory; another one on the same file moves them on. A refusal stores
/// nothing, so no expected version would find out.
#[test]
fn a_refusal_is_decided_on_what_another_store_has_written() {
    let (_folder, path) = folder();
    run(async {
        let ours = SqliteStore::open(&path).await.unwrap();
        let theirs = SqliteStore::open(&path).await.unwrap();
        let (us, them) = (client(&ours), client(&theirs));
        let account_id = us.open_account(OpenAccountCommand { owner: "Ada".into() }).await.unwrap().account_id.clone();
        let withdraw = || WithdrawCommand { account_id: account_id.clone(), cents: 100 };
        let rounds = effort::times(20, 500);
        for round in 0..rounds {
            let deposit = || DepositCommand { account_id: account_id.clone(), cents: 100 };
            // We know the account as an empty one, and refuse.
            assert!(matches!(us.withdraw(withdraw()).await, Err(Error::Rejected(_))), "round {round}");
            them.deposit(deposit()).await.unwrap();
            us.withdraw(withdraw()).await.expect("the money is there");
            // They know it as full.
            let refused = them.withdraw(withdraw()).command_id(format!("late-{round}")).await;
            assert!(matches!(refused, Err(Error::Rejected(_))), "round {round}: {refused:?}");
        }
        let account = AccountRepository::new(ours).load(&account_id).await.unwrap();
        assert_eq!((account.balance_cents, account.version()), (0, 1 + 2 * rounds));
    });
}
