//! Every write, sync, truncation and deletion, every opening and every read of a file, made to fail.

use es_core::{Appended, Error, EventLog, Expected, Filter};
use es_sqlite::SqliteStore;
use torture::{
    checker::Checker,
    child, effort,
    fault::{self, Fault, Plan},
    journal::Journal,
    table::Row,
    test_name, vfs,
    work::Ask,
};

use crate::support::{folder, run};

/// What a store may say when its files fail.
fn is_expected(error: &Error) -> bool {
    use Error::{Io, OutcomeUnknown, StorageFull, Unavailable};
    // Unavailable: nothing was tried, the connection could not be made anew.
    matches!(error, Io { .. } | StorageFull { .. } | OutcomeUnknown { .. } | Unavailable { .. })
}

/// What became of a run.
#[derive(Default)]
struct Outcome {
    sites: u64,
    hits: u64,
    acknowledged: u64,
    unknown: u64,
    violations: Vec<String>,
}

/// One run: opens, appends, closes, opens and appends again while files fail; then they work again, and all is checked.
async fn suffer(plan: Plan) -> Outcome {
    let (_folder, path) = folder();
    let journal = Journal::in_memory();
    let mut outcome = Outcome::default();
    let mut store = None;
    fault::arm(plan);
    for half in 0..2 {
        store = match SqliteStore::builder(&path).readers(1).open().await {
            Ok(store) => Some(store),
            Err(error) => {
                outcome.judge("opening", &error);
                SqliteStore::open(&path).await.ok()
            }
        };
        let Some(store) = &store else { break };
        for number in 0..3 {
            let ask = Ask::new(format!("c-{half}-{number}")).to("a", 2, Expected::Any).to(
                format!("new-{half}-{number}"),
                1,
                Expected::Any,
            );
            if let Err(error) = ask.append(store, &journal).await {
                outcome.unknown += u64::from(matches!(error, Error::OutcomeUnknown { .. }));
                outcome.judge(&ask.id, &error);
            }
        }
        if let Err(error) = store.read_all(0, 100, &Filter::all()).await {
            outcome.judge("reading", &error);
        }
        if half == 0
            && let Err(error) = store.shutdown().await
        {
            outcome.judge("closing", &error);
        }
    }
    (outcome.sites, outcome.hits) = fault::disarm();
    outcome.recover(store, &path, &journal).await;
    outcome
}

impl Outcome {
    fn judge(&mut self, what: &str, error: &Error) {
        if !is_expected(error) {
            self.violations.push(format!("{what}: {error:?}"));
        }
    }

    /// Files work again: so does the store that has seen them fail, and what it acknowledged is there.
    async fn recover(&mut self, store: Option<SqliteStore>, path: &std::path::Path, journal: &Journal) {
        let mut checker = Checker::new();
        if let Some(store) = &store {
            let answer = Ask::new("after").to("a", 1, Expected::Any).append(store, journal).await;
            if !matches!(answer, Ok(Appended::Committed(_))) {
                checker.violated(format!("the store did not recover: {answer:?}"));
            }
            checker.learn(journal.take());
            checker.check(store).await;
            let _ = store.shutdown().await;
        }
        match SqliteStore::open(path).await {
            Ok(store) => {
                let answer = Ask::new("last").to("a", 1, Expected::Any).append(&store, journal).await;
                checker.learn(journal.take());
                if answer.is_err() {
                    checker.violated(format!("the file did not recover: {answer:?}"));
                }
                checker.check_whole(&store).await;
                let _ = store.shutdown().await;
            }
            Err(error) => checker.violated(format!("the file can't be opened: {error:?}")),
        }
        self.acknowledged = checker.acknowledged();
        self.violations.extend_from_slice(checker.violations());
    }
}

/// Fails each site of the run in each of these ways, or a sample of the sites.
fn enumerate(test: &str, reads: bool, faults: &[Fault], sample: u64) {
    let mut rng = effort::lots(test);
    vfs::install();
    let (mut row, mut violations, mut unknown) = (Row { seeds: 1, ..Row::default() }, Vec::new(), 0);
    let sound = run(suffer(Plan { reads, ..Plan::NONE }));
    assert_eq!((sound.hits, sound.violations.len(), sound.acknowledged), (0, 0, 8), "{:?}", sound.violations);
    assert!(sound.sites > 20, "only {} sites were counted", sound.sites);
    let step = if effort::is_long() { 1 } else { sound.sites.div_ceil(sample) };
    for &fault in faults {
        for persistent in [false, true] {
            for at in (1 + rng.u64(..step)..=sound.sites).step_by(usize::try_from(step).unwrap()) {
                let plan = Plan { reads, at, persistent, fault };
                let outcome = run(suffer(plan));
                row.rounds += 1;
                row.sites += u64::from(outcome.hits > 0);
                row.acknowledged += outcome.acknowledged;
                unknown += outcome.unknown;
                violations.extend(outcome.violations.into_iter().map(|violation| format!("{plan:?}: {violation}")));
            }
        }
    }
    println!("{test}: {} sites, {unknown} outcomes unknown", sound.sites);
    // A background task may come late once in a while, and a site with it.
    assert!(row.sites * 10 >= row.rounds * 9, "the faults hit only {} times in {} runs", row.sites, row.rounds);
    row.close(test, &violations);
}

#[test]
fn whatever_is_written_or_synced_can_fail_and_nothing_acknowledged_is_lost() {
    child::alone(test_name!(whatever_is_written_or_synced_can_fail_and_nothing_acknowledged_is_lost), || {
        enumerate("write and sync faults", false, &[Fault::Eio, Fault::Enospc, Fault::Short], 30);
    });
}

#[test]
fn whatever_is_read_can_fail_and_nothing_acknowledged_is_lost() {
    child::alone(test_name!(whatever_is_read_can_fail_and_nothing_acknowledged_is_lost), || {
        enumerate("read faults", true, &[Fault::Eio], 40);
    });
}

/// The faulty layer is alive: without this, all of the above might have tested nothing.
#[test]
fn a_write_that_is_made_to_fail_is_seen_to_fail() {
    child::alone(test_name!(a_write_that_is_made_to_fail_is_seen_to_fail), || {
        vfs::install();
        run(async {
            let (_folder, path) = folder();
            let (store, journal) = (SqliteStore::open(&path).await.unwrap(), Journal::in_memory());
            let append =
                async |n: u32| Ask::new(format!("c-{n}")).to("a", 1, Expected::Any).append(&store, &journal).await;
            append(0).await.unwrap();
            store.head().await.unwrap();
            fault::arm(Plan { reads: false, at: 1, persistent: true, fault: Fault::Eio });
            assert!(append(1).await.is_err());
            fault::arm(Plan { reads: false, at: 1, persistent: true, fault: Fault::Enospc });
            assert!(matches!(append(2).await, Err(Error::StorageFull { .. } | Error::Unavailable { .. })));
            assert!(fault::hits() > 0);
            // Reads go on while nothing can be written.
            assert!(store.read_all(0, 10, &Filter::all()).await.unwrap().scanned_to >= 1);
            fault::disarm();
            append(3).await.unwrap();
        });
    });
}
