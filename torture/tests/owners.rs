//! Owners that stand still past their lease: another one takes over, and when they go on, they do no harm.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use bank::bank::v1::AccountCommandServiceClient;
use es_core::{EventMeta, HookBuilder, Runner, Subscriber};
use es_sqlite::{SqliteProjection, SqliteStore, Tx, rusqlite::Connection};
use tokio::time::{Instant, sleep};
use torture::{
    child::{self, Running, Start, argument, ready},
    effort,
    journal::Journal,
    table::Row,
    test_name, work,
};

use crate::{
    reactions::{REACTOR, Reactions, open_accounts, reactor, transport, withdraw},
    support::{assert_sound, folder, read_after, run, run_for_ever},
    tally::{Fold, Noted, tally},
};

const FILE: &str = "TORTURE_FILE";
const NAME: &str = "TORTURE_NAME";
const PATIENCE: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_millis(300);
/// Between two commands: those who follow can keep up with it, and always have something to do.
const PACE: Duration = Duration::from_millis(2);
/// After this nobody takes over any more.
const AT_LAST: Duration = Duration::from_secs(20);

/// A read model that also says who was the last to write it.
fn read_model(role: &str, file: &Path, store: &SqliteStore, who: &str) -> SqliteProjection {
    let who = who.to_owned();
    let builder = tally("shared")
        .migration("CREATE TABLE writers (name TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT")
        .on::<Noted, _>(move |tx: &Tx<'_>, _: &Noted, meta: &EventMeta| {
            let sql = "INSERT INTO writers VALUES (?1, ?2) ON CONFLICT DO UPDATE SET position = excluded.position";
            tx.run(sql, (&who, meta.position))
        })
        .lease(LEASE);
    let built = if role == "elsewhere" { builder.build_in(elsewhere(file), store) } else { builder.build(store) };
    built.expect("a read model opens")
}

fn elsewhere(file: &Path) -> PathBuf {
    file.with_extension("read")
}

#[test]
fn a_child() {
    let Some(role) = child::role() else { return };
    let (file, name) = (PathBuf::from(argument(FILE)), argument(NAME));
    run(async {
        let store = SqliteStore::builder(&file).busy_timeout(PATIENCE).open().await.expect("a file opens");
        let mut rng = fastrand::Rng::new();
        let runner = Runner::new(store.clone());
        match &*role {
            "reactor" => {
                let reactor = reactor(&store, 1, LEASE, &name).await;
                ready();
                run_for_ever(runner.run(reactor), &[REACTOR]).await;
            }
            "teller" => {
                let accounts = AccountCommandServiceClient::new(transport(&store));
                ready();
                loop {
                    withdraw(&accounts, &mut rng).await;
                    sleep(PACE).await;
                }
            }
            "appender" => {
                let journal = Journal::in_memory();
                ready();
                for number in 0.. {
                    work::by_lot(&mut rng, &name, number).append(&store, &journal).await.expect("it appends");
                    sleep(PACE).await;
                }
            }
            role => {
                let model = read_model(role, &file, &store, &name);
                ready();
                run_for_ever(runner.run(model), &["shared"]).await;
            }
        }
    });
}

/// Two processes that want to be the owner, and one that gives them something to do.
struct Stage {
    rivals: BTreeMap<String, Running>,
    other: Running,
    /// Files that nobody may hold who stands still.
    files: Vec<PathBuf>,
}

impl Stage {
    fn new(file: &Path, role: &str, other: &str) -> Self {
        let start = |role: &str, name: &str| {
            let mut child = Start::new(test_name!(a_child), role).argument(FILE, file).argument(NAME, name).start();
            child.until_ready();
            child
        };
        let rivals = ["one", "two"].map(|name| (name.to_owned(), start(role, name))).into();
        let files = [file.to_owned(), elsewhere(file)].into_iter().filter(|file| file.exists()).collect();
        Self { rivals, other: start(other, "other"), files }
    }

    /// Stops whoever is the owner past its lease, so many times. `latest` says what was handled last, and by whom.
    async fn stop_owners(&self, rounds: u64, rng: &mut fastrand::Rng, mut latest: impl AsyncFnMut() -> (u64, String)) {
        let (mut stopped, mut in_a_transaction, mut handled) = (0, 0, 0);
        while stopped < rounds {
            // Whoever has been woken has shown whether it still takes itself for the owner.
            let (_, owner) = wait_for(&mut latest, |position, _| position > handled).await;
            // By lot, it stands before a transaction, with a page in its hands that will be another's by then.
            let held = rng.bool().then(|| hold(self.files.last().unwrap(), PATIENCE).unwrap());
            sleep(Duration::from_micros(rng.u64(..20_000))).await;
            self.rivals[&owner].stop();
            drop(held);
            if self.files.iter().any(|file| hold(file, LEASE).is_none()) {
                self.rivals[&owner].wake();
                in_a_transaction += 1;
                assert!(in_a_transaction < 20 * (rounds + 5), "{owner} is always in a transaction");
                continue;
            }
            wait_for(&mut latest, |_, who| who != owner).await;
            self.rivals[&owner].wake();
            sleep(Duration::from_micros(rng.u64(..20_000))).await;
            (handled, _) = latest().await;
            stopped += 1;
        }
        println!(
            "{stopped} times an owner was stopped, {in_a_transaction} times in a transaction, which does not count"
        );
    }

    fn end(self) -> u64 {
        let mut kills = 0;
        for mut child in self.rivals.into_values().chain([self.other]) {
            kills += u64::from(child.kill());
            assert_sound(child);
        }
        kills
    }
}

async fn wait_for(latest: &mut impl AsyncFnMut() -> (u64, String), is: impl Fn(u64, &str) -> bool) -> (u64, String) {
    let end = Instant::now() + AT_LAST;
    loop {
        let (position, who) = latest().await;
        if is(position, &who) {
            return (position, who);
        }
        assert!(Instant::now() < end, "nobody took over from {who} at {position}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// A file that nobody else can write as long as the connection lives; `None` if somebody else has it for so long.
fn hold(file: &Path, patience: Duration) -> Option<Connection> {
    let connection = Connection::open(file).unwrap();
    connection.busy_timeout(patience).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").is_ok().then_some(connection)
}

fn both_were_owners(by_whom: &BTreeMap<String, u64>) -> Option<String> {
    let both = ["one", "two"].iter().all(|name| by_whom.contains_key(*name));
    (!both).then(|| format!("both should have been owners: {by_whom:?}"))
}

fn read_model_of_stopped_owners(test: &str, role: &str) {
    let rounds = effort::times(10, 200);
    let mut rng = effort::lots(test);
    let (_folder, path) = folder();
    let mut violations = Vec::new();
    let (kills, acknowledged) = run(async {
        let store = SqliteStore::builder(&path).busy_timeout(PATIENCE).open().await.unwrap();
        let model = read_model(role, &path, &store, "nobody");
        let writers = async || {
            let sql = "SELECT name, position FROM writers";
            model.query(|tx| tx.query(sql, (), |row| Ok((row.get(0)?, row.get(1)?)))).await.unwrap()
        };
        let stage = Stage::new(&path, role, "appender");
        let latest = async || {
            let last = writers().await.into_iter().map(|(who, position): (String, u64)| (position, who)).max();
            last.unwrap_or_default()
        };
        stage.stop_owners(rounds, &mut rng, latest).await;
        let kills = stage.end();
        violations.extend(both_were_owners(&writers().await.into_iter().collect()));
        let (log, mut fold) = (read_after(&store, 0).await, Fold::default());
        violations.extend(fold.wrong(&model, &log).await);
        assert_eq!(model.catch_up().await.unwrap(), log.len() as u64);
        violations.extend(fold.wrong(&model, &log).await);
        model.close().await;
        store.shutdown().await.unwrap();
        (kills, log.len() as u64)
    });
    Row { rounds, kills, seeds: 1, acknowledged, ..Row::default() }.close(test, &violations);
}

#[test]
fn a_read_model_survives_owners_that_stand_still_past_their_lease() {
    read_model_of_stopped_owners("stopped while projecting", "beside the log");
}

#[test]
fn a_read_model_in_a_file_of_its_own_survives_owners_that_stand_still_past_their_lease() {
    read_model_of_stopped_owners("stopped while projecting elsewhere", "elsewhere");
}

#[test]
fn reactions_of_owners_that_stand_still_past_their_lease_are_each_carried_out_once() {
    let test = "stopped while reacting";
    let rounds = effort::times(10, 200);
    let mut rng = effort::lots(test);
    let (_folder, path) = folder();
    let mut violations = Vec::new();
    let mut reactions = Reactions::default();
    let kills = run(async {
        let store = SqliteStore::builder(&path).busy_timeout(PATIENCE).open().await.unwrap();
        open_accounts(&store).await;
        let stage = Stage::new(&path, "reactor", "teller");
        let latest = async || {
            violations.extend(reactions.read_on(&store).await);
            reactions.latest().unwrap_or_default()
        };
        stage.stop_owners(rounds, &mut rng, latest).await;
        let kills = stage.end();
        violations.extend(both_were_owners(reactions.by_whom()));
        let last = reactor(&store, 1, LEASE, "last").await;
        violations.extend(reactions.read_on(&store).await);
        violations.extend(reactions.missing(&[last.checkpoint(0).await.unwrap()]));
        violations.extend(reactions.finish(&store, last).await);
        store.shutdown().await.unwrap();
        kills
    });
    Row { rounds, kills, seeds: 1, acknowledged: reactions.causes(), ..Row::default() }.close(test, &violations);
}
