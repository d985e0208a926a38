//! Read models in partitions, two processes killed while they share them: each partition is what its events come to.

use std::{path::Path, time::Duration};

use es_core::{RecordedEvent, Runner};
use es_sqlite::{SqliteProjection, SqliteStore};
use torture::{
    child::{self, Start, argument, ready},
    effort,
    table::Row,
    test_name,
};

use crate::{
    support::{append_for_ever, folder, massacre, read_after, run, run_for_ever},
    tally::{Fold, tally},
};

const FILE: &str = "TORTURE_FILE";
const NAME: &str = "TORTURE_NAME";
const PARTITIONS: &str = "TORTURE_PARTITIONS";
const PATIENCE: Duration = Duration::from_secs(60);
/// So short that the partitions of those killed have new owners within a round.
const LEASE: Duration = Duration::from_millis(20);
const FOUR: u32 = 4;

/// The read models: in the store's file, and in one of its own.
fn read_models(file: &Path, store: &SqliteStore, partitions: u32) -> [SqliteProjection; 2] {
    let tally = |name| tally(name).partitions(partitions).lease(LEASE);
    [
        tally("same").build(store).expect("a killed read model opens"),
        tally("own").build_in(file.with_extension("read"), store).expect("a killed read model opens"),
    ]
}

#[test]
fn a_victim() {
    let Some(role) = child::role() else { return };
    let (file, name) = (argument(FILE), argument(NAME));
    run(async {
        let store = SqliteStore::builder(&file).busy_timeout(PATIENCE).open().await.expect("a killed file opens");
        if role == "projector" {
            let models = read_models(Path::new(&file), &store, argument(PARTITIONS).parse().unwrap());
            ready();
            let runner = models.into_iter().fold(Runner::new(store), Runner::run);
            return run_for_ever(runner, &["same", "own"]).await;
        }
        ready();
        append_for_ever(&store, &name).await;
    });
}

/// What came of the rounds so far.
#[derive(Default)]
struct Found {
    violations: Vec<String>,
    kills: u64,
    events: u64,
    /// How often the partitions were not all at one position.
    apart: u64,
}

impl Found {
    /// Kills those who work on one log, so many times.
    fn rounds(&mut self, rounds: u64, rng: &mut fastrand::Rng) {
        let (_folder, path) = folder();
        let mut log = Vec::<RecordedEvent>::new();
        let mut folds: [Fold; 2] = std::array::from_fn(|_| Fold::default());
        for round in 0..rounds {
            // Every now and then their number is another, and those killed while they change it leave it half changed.
            let partitions = if rng.u8(..6) == 0 { rng.u32(1..6) } else { FOUR };
            let start = |(at, role): (usize, &&str)| {
                let start = Start::new(test_name!(a_victim), role).argument(FILE, &path);
                start.argument(NAME, format!("p{round}x{at}")).argument(PARTITIONS, partitions.to_string()).start()
            };
            let roles = ["appender", "projector", "projector"];
            self.kills += massacre(roles.iter().enumerate().map(start).collect(), rng, 60_000);
            run(async {
                let store = SqliteStore::open(&path).await.expect("opens without repair");
                log.extend(read_after(&store, log.len() as u64).await);
                for (model, fold) in read_models(&path, &store, FOUR).iter().zip(&mut folds) {
                    self.violations.extend(fold.wrong(model, &log).await);
                    self.apart += u64::from(fold.is_apart());
                    // The next round kills them while they catch up.
                    if rng.u8(..12) == 0 {
                        model.reset().await.unwrap();
                    }
                }
                store.shutdown().await.unwrap();
            });
        }
        run(async {
            let store = SqliteStore::open(&path).await.unwrap();
            for (model, fold) in read_models(&path, &store, FOUR).iter().zip(&mut folds) {
                assert_eq!(model.catch_up().await.unwrap(), log.len() as u64);
                self.violations.extend(fold.wrong(model, &log).await);
            }
            store.shutdown().await.unwrap();
        });
        self.events += log.len() as u64;
    }
}

#[test]
fn four_partitions_over_two_killed_processes_are_each_what_their_events_come_to() {
    let (logs, each) = (effort::times(1, 20), 60);
    let (test, rounds) = ("killed while projecting in partitions", logs * each);
    let mut rng = effort::lots(test);
    let mut found = Found::default();
    for _ in 0..logs {
        found.rounds(each, &mut rng);
    }
    let Found { violations, kills, events, apart } = found;
    Row { rounds, kills, seeds: 1, acknowledged: events, ..Row::default() }.close(test, &violations);
    assert!(apart > rounds / 10, "only {apart} times the partitions were not all at one position");
    assert!(kills > rounds * 2, "only {kills} processes were still there to be killed");
}
