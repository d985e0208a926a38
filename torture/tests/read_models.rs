//! Processes killed while they project: a read model is always what its events come to, up to its checkpoint.

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
const PATIENCE: Duration = Duration::from_secs(60);
/// A killed owner is replaced within its round or the next, so that those who are killed have been projecting.
const LEASE: Duration = Duration::from_millis(20);

/// The read models: in the store's file, in one of its own, and in the append's transaction.
fn read_models(file: &Path, store: &SqliteStore) -> [SqliteProjection; 3] {
    [
        tally("same").lease(LEASE).build(store).expect("a killed read model opens"),
        tally("own").lease(LEASE).build_in(file.with_extension("read"), store).expect("a killed read model opens"),
        tally("inline").lease(LEASE).build_inline(store).expect("a killed read model opens"),
    ]
}

#[test]
fn a_victim() {
    let Some(role) = child::role() else { return };
    let (file, name) = (argument(FILE), argument(NAME));
    run(async {
        let store = SqliteStore::builder(&file).busy_timeout(PATIENCE).open().await.expect("a killed file opens");
        let models = read_models(Path::new(&file), &store);
        ready();
        if role == "projector" {
            let runner = models.iter().fold(Runner::new(store.clone()), |runner, model| runner.run(model.clone()));
            return run_for_ever(runner, &["same", "own", "inline"]).await;
        }
        append_for_ever(&store, &name).await;
    });
}

/// What came of the rounds so far.
#[derive(Default)]
struct Found {
    violations: Vec<String>,
    kills: u64,
    events: u64,
    resets: u64,
}

impl Found {
    /// Kills those who work on one log, so many times.
    fn rounds(&mut self, rounds: u64, rng: &mut fastrand::Rng) {
        let (_folder, path) = folder();
        let mut log = Vec::<RecordedEvent>::new();
        let mut folds: [Fold; 3] = std::array::from_fn(|_| Fold::default());
        for round in 0..rounds {
            let start = |(at, role): (usize, &&str)| {
                let name = format!("p{round}x{at}");
                Start::new(test_name!(a_victim), role).argument(FILE, &path).argument(NAME, name).start()
            };
            let roles = ["appender", "projector", "projector"];
            self.kills += massacre(roles.iter().enumerate().map(start).collect(), rng, 40_000);
            run(async {
                let store = SqliteStore::open(&path).await.expect("opens without repair");
                log.extend(read_after(&store, log.len() as u64).await);
                for (model, fold) in read_models(&path, &store).iter().zip(&mut folds) {
                    self.violations.extend(fold.wrong(model, &log).await);
                    // Every now and then one starts over, so that the next round kills it while it catches up.
                    if rng.u8(..6) == 0 {
                        model.reset().await.unwrap();
                        self.resets += 1;
                    }
                }
                store.shutdown().await.unwrap();
            });
        }
        run(async {
            let store = SqliteStore::open(&path).await.unwrap();
            for (model, fold) in read_models(&path, &store).iter().zip(&mut folds) {
                assert_eq!(model.catch_up().await.unwrap(), log.len() as u64);
                self.violations.extend(fold.wrong(model, &log).await);
            }
            store.shutdown().await.unwrap();
        });
        self.events += log.len() as u64;
    }
}

#[test]
fn read_models_of_killed_processes_are_what_their_events_come_to() {
    // Several logs, since what is compared after each round grows with the log.
    let (logs, each) = (effort::times(4, 40), 50);
    let (test, rounds) = ("killed while projecting", logs * each);
    let mut rng = effort::lots(test);
    let mut found = Found::default();
    for _ in 0..logs {
        found.rounds(each, &mut rng);
    }
    let Found { violations, kills, events, resets } = found;
    Row { rounds, kills, seeds: 1, acknowledged: events, ..Row::default() }.close(test, &violations);
    assert!(events > rounds && resets > 0, "{events} events, {resets} resets: is anyone writing?");
    assert!(kills > rounds * 2, "only {kills} processes were still there to be killed");
}
