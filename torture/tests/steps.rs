//! The process aborts at every named step of an append: before COMMIT the commit is absent, afterwards it is there and
//! its command's id tells.

use std::os::unix::process::ExitStatusExt;

use es_core::{Appended, EventLog, EventStore, Expected};
use es_sqlite::{SqliteStore, failpoint};
use torture::{
    checker::Checker,
    child::{self, Start, argument},
    journal::Journal,
    table::Row,
    test_name,
    work::Ask,
};

use crate::support::{folder, run};

const FILE: &str = "TORTURE_FILE";
const STEP: &str = "TORTURE_STEP";
const NTH: &str = "TORTURE_NTH";
/// Steps from here on belong to a commit that is stored.
const STORED: &str = "after COMMIT";

/// A commit that goes through every step: a new stream and an old one, a new type, a unique key.
fn ask(id: &str) -> Ask {
    Ask::new(id).to("old", 2, Expected::Any).to(format!("new-{id}"), 2, Expected::NoStream)
}

#[test]
fn a_process_that_aborts() {
    if child::role().is_none() {
        return;
    }
    run(async {
        let file = argument(FILE);
        let journal = Journal::in_file(format!("{file}.history"));
        let store = SqliteStore::open(&file).await.unwrap();
        ask("first").append(&store, &journal).await.unwrap();
        failpoint::abort_at(&argument(STEP), argument(NTH).parse().unwrap());
        let answer = ask("second").append(&store, &journal).await;
        panic!("the step was never reached: {answer:?}");
    });
}

#[test]
fn an_abort_at_any_step_leaves_a_commit_absent_or_its_outcome_known() {
    let test = "aborted at a named step";
    let mut row = Row::default();
    let mut violations = Vec::new();
    let stored_from = failpoint::STEPS.iter().position(|step| *step == STORED).unwrap();
    for (at, step) in failpoint::STEPS.iter().enumerate() {
        // What happens for each event or stream can be aborted in the middle.
        for nth in 1..=if step.contains("event") { 4 } else { 1 } {
            let (_folder, path) = folder();
            let child = Start::new(test_name!(a_process_that_aborts), "aborts").argument(FILE, &path);
            let (status, said, complained) = child.argument(STEP, step).argument(NTH, nth.to_string()).start().end();
            assert_eq!(status.signal(), Some(6), "{step}: {status}\n{said}\n{complained}");
            let checker = run(look(&path, at >= stored_from));
            (row.rounds, row.kills, row.sites) = (row.rounds + 1, row.kills + 1, row.sites + 1);
            row.acknowledged += checker.acknowledged();
            violations.extend(checker.violations().iter().map(|what| format!("{step} ({nth}): {what}")));
        }
    }
    row.close(test, &violations);
}

/// Holds what is left against what should be there, and repeats the command.
async fn look(path: &std::path::Path, stored: bool) -> Checker {
    let mut checker = Checker::new();
    checker.learn(Journal::read(format!("{}.history", path.display())));
    let store = SqliteStore::open(path).await.expect("it opens without repair");
    checker.check_whole(&store).await;
    let known = store.outcome(None, &ask("second").command()).await.unwrap();
    let head = store.head().await.unwrap();
    if known.is_some() != stored || head != if stored { 8 } else { 4 } {
        checker.violated(format!("the outcome is {known:?}, the head {head}; stored should be {stored}"));
    }
    let journal = Journal::in_memory();
    let again = ask("second").append(&store, &journal).await.expect("it can be repeated");
    if matches!(again, Appended::Replayed(_)) != stored {
        checker.violated(format!("repeated, it is {again:?}"));
    }
    checker.learn(journal.take());
    checker.check_whole(&store).await;
    store.shutdown().await.unwrap();
    checker
}
