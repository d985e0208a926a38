//! Processes killed while they react: every command that follows from an event is carried out, once.

use std::time::Duration;

use bank::bank::v1::AccountCommandServiceClient;
use es_core::{Runner, Subscriber};
use es_sqlite::SqliteStore;
use torture::{
    child::{self, Start, argument, ready},
    effort,
    table::Row,
    test_name,
};

use crate::{
    reactions::{REACTOR, Reactions, open_accounts, reactor, transport, withdraw},
    support::{folder, massacre, run, run_for_ever},
};

const FILE: &str = "TORTURE_FILE";
const NAME: &str = "TORTURE_NAME";
const PATIENCE: Duration = Duration::from_secs(60);
/// So short that those killed have successors within a round, and that an owner often loses it amid a page.
const LEASE: Duration = Duration::from_millis(20);
const PARTITIONS: u32 = 2;

#[test]
fn a_victim() {
    let Some(role) = child::role() else { return };
    let (file, name) = (argument(FILE), argument(NAME));
    run(async {
        let store = SqliteStore::builder(&file).busy_timeout(PATIENCE).open().await.expect("a killed file opens");
        if role == "reactor" {
            let reactor = reactor(&store, PARTITIONS, LEASE, &name).await;
            ready();
            return run_for_ever(Runner::new(store).run(reactor), &[REACTOR]).await;
        }
        let accounts = AccountCommandServiceClient::new(transport(&store));
        let mut rng = fastrand::Rng::new();
        ready();
        loop {
            withdraw(&accounts, &mut rng).await;
            // So that reactors can keep up with it.
            if role == "teller" {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
}

async fn checkpoints(reactor: &impl Subscriber) -> Vec<u64> {
    let mut checkpoints = Vec::new();
    for partition in 0..PARTITIONS {
        checkpoints.push(reactor.checkpoint(partition).await.unwrap());
    }
    checkpoints
}

#[test]
fn reactions_of_killed_processes_are_each_carried_out_once() {
    let rounds = effort::times(200, 2_000);
    let test = "killed while reacting";
    let mut rng = effort::lots(test);
    let (_folder, path) = folder();
    let (mut violations, mut kills, mut amid, mut live) = (Vec::new(), 0, 0, 0);
    let mut reactions = Reactions::default();
    run(async {
        let store = SqliteStore::open(&path).await.unwrap();
        open_accounts(&store).await;
        store.shutdown().await.unwrap();
    });
    for round in 0..rounds {
        let roles: &[_] = match rng.u8(..20) {
            0 => &["busy teller"],
            1 | 2 => &["reactor", "reactor"],
            _ => &["teller", "reactor", "reactor"],
        };
        // Now and then they have the time to catch up.
        let micros = if rng.u8(..5) == 0 { 200_000 } else { 40_000 };
        let start = |(at, role): (usize, &&str)| {
            let name = format!("p{round}x{at}");
            Start::new(test_name!(a_victim), role).argument(FILE, &path).argument(NAME, name).start()
        };
        kills += massacre(roles.iter().enumerate().map(start).collect(), &mut rng, micros);
        run(async {
            let store = SqliteStore::open(&path).await.expect("opens without repair");
            let before = reactions.read_to();
            violations.extend(reactions.read_on(&store).await);
            let checkpoints = checkpoints(&reactor(&store, PARTITIONS, LEASE, "nobody").await).await;
            violations.extend(reactions.missing(&checkpoints));
            amid += u64::from(reactions.ahead_of(&checkpoints) > 0);
            live += u64::from(checkpoints.iter().any(|checkpoint| *checkpoint > before));
            store.shutdown().await.unwrap();
        });
    }
    run(async {
        let store = SqliteStore::open(&path).await.unwrap();
        let last = reactor(&store, PARTITIONS, LEASE, "last").await;
        violations.extend(reactions.finish(&store, last).await);
        store.shutdown().await.unwrap();
    });
    let acknowledged = reactions.causes();
    Row { rounds, kills, seeds: 1, acknowledged, ..Row::default() }.close(test, &violations);
    println!("{test}: {amid} times amid a page, {live} times in what was new");
    assert!(acknowledged > rounds, "only {acknowledged} events were there to be reacted to");
    assert!(amid > rounds / 50, "only {amid} rounds ended between a command and the checkpoint");
    assert!(live > rounds / 20, "only {live} rounds ended with reactors that had caught up");
    assert!(kills > rounds * 2, "only {kills} processes were still there to be killed");
}
