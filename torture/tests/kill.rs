//! Processes killed at any moment: while they append, open, checkpoint.

use std::{path::Path, time::Duration};

use es_sqlite::{SqliteStore, rusqlite::Connection};
use torture::{
    checker::Checker,
    child::{self, Start, argument, ready},
    effort,
    journal::Journal,
    table::Row,
    test_name, work,
};

use crate::support::{folder, massacre, run};

const FILE: &str = "TORTURE_FILE";
const NAME: &str = "TORTURE_NAME";
/// Long enough that no process gives up before it is killed.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_victim() {
    let Some(role) = child::role() else { return };
    let (file, name) = (argument(FILE), argument(NAME));
    match &*role {
        "checkpointer" => checkpoint(&file),
        role => run(append(&file, &name, role)),
    }
}

/// Appends for ever, each time on a store of its own if it is to open often.
async fn append(file: &str, name: &str, role: &str) {
    let journal = Journal::in_file(format!("{file}.{name}.history"));
    let mut rng = fastrand::Rng::new();
    if role == "opener" {
        ready();
    }
    for round in 0.. {
        let store = SqliteStore::builder(file).busy_timeout(PATIENCE).open().await.expect("a killed file opens");
        if role == "appender" && round == 0 {
            ready();
        }
        for number in 0..if role == "opener" { 2 } else { u64::MAX } {
            let ask = work::by_lot(&mut rng, name, round * 2 + number);
            ask.append(&store, &journal).await.expect("nothing but a kill keeps it from appending");
        }
        store.shutdown().await.unwrap();
    }
}

/// Copies the log into the file and cuts it off, for ever.
fn checkpoint(file: &str) {
    let connection = Connection::open(file).unwrap();
    connection.busy_timeout(PATIENCE).unwrap();
    ready();
    loop {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).expect("a checkpoint is possible");
    }
}

/// One kind of massacre.
struct Plan {
    test: &'static str,
    /// What each process of a round does.
    roles: [&'static str; 4],
    rounds: u64,
    /// How long they are left alone once one of them is ready, at most.
    micros: u64,
    /// Commits that must have been acknowledged for a round to mean something, per ten rounds.
    commits: u64,
}

impl Plan {
    fn carry_out(self) {
        let mut rng = effort::lots(self.test);
        let (_folder, path) = folder();
        let mut checker = Checker::new();
        let mut kills = 0;
        run(async {
            SqliteStore::open(&path).await.unwrap().shutdown().await.unwrap();
            for round in 0..self.rounds {
                let names: Vec<_> = (0..4).map(|child| format!("p{round}x{child}")).collect();
                kills += self.round(&path, &names, &mut rng);
                for name in &names {
                    let history = format!("{}.{name}.history", path.display());
                    checker.learn(Journal::read(&history));
                    let _ = std::fs::remove_file(history);
                }
                // In most rounds the next processes find the file as the killed ones left it.
                if rng.u8(..4) == 0 || round + 1 == self.rounds {
                    let store = SqliteStore::builder(&path).create(false).open().await.expect("opens without repair");
                    match round + 1 == self.rounds {
                        true => checker.check_whole(&store).await,
                        false => checker.check(&store).await,
                    }
                    store.shutdown().await.unwrap();
                }
            }
        });
        if let Some(damage) = damage(&path) {
            checker.violated(damage);
        }
        let acknowledged = checker.acknowledged();
        Row { rounds: self.rounds, kills, seeds: 1, acknowledged, ..Row::default() }
            .close(self.test, checker.violations());
        assert!(
            acknowledged >= self.rounds * self.commits / 10,
            "only {acknowledged} commits were acknowledged: is anyone writing?"
        );
        assert!(kills > self.rounds * 2, "only {kills} processes were still there to be killed");
    }

    /// Starts four processes and kills them. Says how many were killed.
    fn round(&self, path: &Path, names: &[String], rng: &mut fastrand::Rng) -> u64 {
        let start = |(role, name): (&&str, &String)| {
            Start::new(test_name!(a_victim), role).argument(FILE, path).argument(NAME, name).start()
        };
        massacre(self.roles.iter().zip(names).map(start).collect(), rng, self.micros)
    }
}

/// What SQLite itself has to say against a file.
fn damage(path: &Path) -> Option<String> {
    let connection = Connection::open(path).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    (verdict != "ok").then(|| format!("integrity_check: {verdict}"))
}

#[test]
fn four_writers_killed_at_any_moment_lose_nothing_that_was_acknowledged() {
    let test = "killed while appending";
    let rounds = effort::times(200, 2_000);
    Plan { test, roles: ["appender"; 4], rounds, micros: 50_000, commits: 1 }.carry_out();
}

#[test]
fn processes_killed_while_they_open_the_file_leave_it_as_good_as_it_was() {
    let test = "killed while opening";
    let rounds = effort::times(80, 2_000);
    Plan { test, roles: ["opener"; 4], rounds, micros: 5_000, commits: 0 }.carry_out();
}

#[test]
fn processes_killed_while_one_of_them_checkpoints_lose_nothing_that_was_acknowledged() {
    let test = "killed while checkpointing";
    let rounds = effort::times(80, 2_000);
    let roles = ["checkpointer", "appender", "appender", "opener"];
    Plan { test, roles, rounds, micros: 25_000, commits: 1 }.carry_out();
}
