//! The power goes: what was synced is there, and of the rest any part, in any order.

use es_core::Expected;
use es_sqlite::{Durability, SqliteStore};
use torture::{
    checker::Checker,
    child, effort,
    fault::{self, Fault, Plan},
    journal::Journal,
    power,
    table::Row,
    test_name, vfs,
    work::Ask,
};

use crate::support::{folder, run};

/// What became of a run.
struct Outcome {
    sites: u64,
    acknowledged: u64,
    violations: Vec<String>,
}

/// Appends until the power goes at the given operation, and looks at what is left.
async fn lose_power(at: u64, seed: u64, durability: Durability) -> Outcome {
    let (_folder, path) = folder();
    let (remains, _path) = folder();
    let remains = remains.path();
    let journal = Journal::in_memory();
    // The file itself was made long ago.
    SqliteStore::open(&path).await.unwrap().shutdown().await.unwrap();
    power::watch(fastrand::Rng::with_seed(seed));
    fault::arm(Plan { reads: false, at, persistent: true, fault: Fault::PowerCut });
    for half in 0..2 {
        if let Ok(store) = SqliteStore::builder(&path).readers(1).durability(durability).open().await {
            for number in 0..4 {
                let ask = Ask::new(format!("c-{half}-{number}")).to("a", 2, Expected::Any).to(
                    format!("new-{half}-{number}"),
                    1,
                    Expected::Any,
                );
                let _ = ask.append(&store, &journal).await;
            }
            // Copies the log into the file.
            let _ = store.shutdown().await;
        }
    }
    let (sites, hits) = fault::disarm();
    let mut checker = Checker::new();
    let mut entries = journal.take();
    // A store that has no power left can say anything; only what it acknowledged counts.
    entries.retain(|entry| !matches!(entry, torture::journal::Entry::Refused { .. }));
    checker.learn(entries);
    power::leave_in(remains);
    let left = if hits > 0 { remains.join(path.file_name().unwrap()) } else { path.clone() };
    match SqliteStore::builder(&left).create(false).open().await {
        Ok(store) => {
            checker.check_whole(&store).await;
            // And it goes on from there.
            let answer = Ask::new("after").to("a", 1, Expected::Any).append(&store, &journal).await;
            checker.learn(journal.take());
            checker.check(&store).await;
            if let Err(error) = answer {
                checker.violated(format!("what is left can't be written: {error:?}"));
            }
            let _ = store.shutdown().await;
        }
        Err(error) => checker.violated(format!("what is left can't be opened: {error:?}")),
    }
    Outcome { sites, acknowledged: checker.acknowledged(), violations: checker.violations().to_vec() }
}

/// Cuts the power at every operation, with several drawings of what is left each time.
fn enumerate(test: &str, durability: Durability, seeds: u64) -> (Row, Vec<String>) {
    let mut rng = effort::lots(test);
    vfs::install();
    let sites = run(lose_power(0, 0, durability)).sites;
    assert!(sites > 20, "only {sites} sites were counted");
    let (mut row, mut violations) = (Row { sites, ..Row::default() }, Vec::new());
    for at in 1..=sites {
        for _ in 0..seeds {
            let seed = rng.u64(..);
            let outcome = run(lose_power(at, seed, durability));
            (row.rounds, row.seeds) = (row.rounds + 1, row.seeds + 1);
            row.acknowledged += outcome.acknowledged;
            violations.extend(outcome.violations.into_iter().map(|what| format!("cut at {at}, seed {seed}: {what}")));
        }
    }
    (row, violations)
}

#[test]
fn a_power_cut_at_any_operation_takes_nothing_that_was_acknowledged() {
    child::alone(test_name!(a_power_cut_at_any_operation_takes_nothing_that_was_acknowledged), || {
        let test = "power cut";
        let (row, violations) = enumerate(test, Durability::Full, effort::times(2, 20));
        row.close(test, &violations);
    });
}

/// Without a sync for each commit the last ones go, as it is documented, and nothing else does. It also shows that the
/// cut takes anything at all.
#[test]
fn a_power_cut_without_full_durability_takes_the_last_commits_and_nothing_else() {
    child::alone(test_name!(a_power_cut_without_full_durability_takes_the_last_commits_and_nothing_else), || {
        let test = "power cut without full durability";
        let (row, violations) = enumerate(test, Durability::MayLoseRecentOnPowerLoss, effort::times(2, 20));
        let (lost, other): (Vec<_>, Vec<_>) = violations.into_iter().partition(|what| what.contains("LOST"));
        row.close(test, &other);
        assert!(!lost.is_empty(), "the cut took nothing: is it one?");
        println!("{test}: {} acknowledged commits were lost, as documented", lost.len());
    });
}
