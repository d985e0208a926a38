//! Traps that others fell into, each by its name.

use es_core::{Appended, Commit, Error, EventLog, EventStore, Expected, HookBuilder, NewEvent};
use es_sqlite::{SqliteProjection, SqliteStore};
use torture::{
    checker::Checker,
    child::{self, Start, argument},
    effort,
    fault::{self, Fault, Plan},
    journal::Journal,
    table::Row,
    test_name, vfs,
    work::{Ask, stream},
};

use crate::support::{folder, run};

const FILE: &str = "TORTURE_FILE";
const ROUND: &str = "TORTURE_ROUND";

#[test]
fn another_process() {
    if child::role().is_none() {
        return;
    }
    run(async {
        let (file, round) = (argument(FILE), argument(ROUND));
        let journal = Journal::in_file(format!("{file}.{round}.history"));
        let store = SqliteStore::open(&file).await.unwrap();
        let ask = Ask::new(format!("theirs-{round}")).to("a", 3, Expected::Any).to(
            format!("s-{round}"),
            1,
            Expected::NoStream,
        );
        ask.append(&store, &journal).await.unwrap();
        store.shutdown().await.unwrap();
    });
}

/// The writer remembers where streams stand; another process moves them.
#[test]
fn what_another_process_wrote_is_seen_by_the_next_append() {
    let (_folder, path) = folder();
    let rounds = effort::times(10, 200);
    let (journal, mut checker) = (Journal::in_memory(), Checker::new());
    run(async {
        let store = SqliteStore::open(&path).await.unwrap();
        for round in 0..rounds {
            Ask::new(format!("ours-{round}"))
                .to("a", 1, Expected::Exact(4 * round))
                .append(&store, &journal)
                .await
                .unwrap();
            let other = Start::new(test_name!(another_process), "writes").argument(FILE, &path);
            let (status, said, complained) = other.argument(ROUND, round.to_string()).start().end();
            assert!(status.success(), "{said}\n{complained}");
            checker.learn(Journal::read(format!("{}.{round}.history", path.display())));
            // What was remembered is out of date: for the stream, and for the one that was not there.
            let stale = Ask::new(format!("stale-{round}")).to("a", 1, Expected::Exact(4 * round + 1));
            let error = stale.append(&store, &journal).await.unwrap_err();
            assert!(matches!(error, Error::Conflict { actual, .. } if actual == 4 * round + 4), "{error}");
            let taken = Ask::new(format!("taken-{round}")).to(format!("s-{round}"), 1, Expected::NoStream);
            let error = taken.append(&store, &journal).await.unwrap_err();
            assert!(matches!(error, Error::Conflict { actual: 1, .. }), "{error}");
        }
        checker.learn(journal.take());
        checker.check_whole(&store).await;
    });
    Row { rounds, acknowledged: checker.acknowledged(), ..Row::default() }
        .close("another process's writes", checker.violations());
}

/// After a rollback SQLite hands the same row ids to the next stream and the next type: nothing that was remembered of
/// the transaction may outlive it. Appends that make streams share their transactions with a hook that ends them.
#[test]
fn row_ids_of_a_transaction_that_was_rolled_back_are_not_remembered() {
    let (_folder, path) = folder();
    let rounds = effort::times(10, 200);
    let mut checker = Checker::new();
    run(async {
        let store = SqliteStore::open(&path).await.unwrap();
        let event = NewEvent::raw("torture.v1.Poison", b"poison".to_vec());
        // The log's first commit is not in the history, so the checker is told of it.
        store.append(Commit::append(stream("poison"), Expected::NoStream, vec![event])).await.unwrap();
        let projection = SqliteProjection::builder("ends-the-transaction")
            .migration("CREATE TABLE once (id INTEGER PRIMARY KEY ON CONFLICT ROLLBACK)")
            .on::<Poison, _>(|tx, _, _| {
                tx.execute("INSERT INTO once VALUES (1)", ())?;
                tx.execute("INSERT INTO once VALUES (1)", ())?;
                Ok(())
            })
            .build(&store)
            .unwrap();
        let journal = std::sync::Arc::new(Journal::in_memory());
        for round in 0..rounds {
            let appends: Vec<_> = (0..24)
                .map(|task| {
                    let (store, journal) = (store.clone(), std::sync::Arc::clone(&journal));
                    tokio::spawn(async move {
                        for number in 0..3 {
                            let id = format!("r{round}-{task}-{number}");
                            let ask = Ask::new(&id).to(format!("new-{id}"), 1, Expected::NoStream);
                            ask.to(format!("kept-{task}"), 1, Expected::Any).append(&store, &journal).await.unwrap();
                        }
                    })
                })
                .collect();
            for _ in 0..4 {
                assert!(projection.catch_up().await.is_err());
            }
            for append in appends {
                append.await.unwrap();
            }
        }
        checker.learn(journal.take());
        checker.check_whole(&store).await;
        store.shutdown().await.unwrap();
        // A fresh look, without anything remembered.
        let store = SqliteStore::open(&path).await.unwrap();
        checker.check_whole(&store).await;
    });
    // The poison itself was asked for by nobody.
    let violations: Vec<_> =
        checker.violations().iter().filter(|what| !what.contains("position 1 is of command ``")).cloned().collect();
    Row { rounds, acknowledged: checker.acknowledged(), ..Row::default() }.close("rolled back row ids", &violations);
}

#[derive(Clone, Debug)]
struct Poison;

impl es_core::Event for Poison {
    const TYPE: &'static str = "torture.v1.Poison";

    fn encode(&self, _: &mut Vec<u8>) -> Result<(), es_core::error::EncodeError> {
        Ok(())
    }

    fn decode(_: &[u8]) -> Result<Self, es_core::error::DecodeError> {
        Ok(Self)
    }
}

/// A commit whose sync fails is in the log's file and yet not in the log. Whoever looks it up and is told that it is
/// not there must not find it there after a crash.
#[test]
fn a_commit_that_was_looked_up_and_not_found_does_not_appear_after_a_crash() {
    child::alone(test_name!(a_commit_that_was_looked_up_and_not_found_does_not_appear_after_a_crash), || {
        vfs::install();
        let (mut row, mut violations) = (Row::default(), Vec::new());
        for fault in [Fault::Eio, Fault::Enospc, Fault::Short] {
            for at in 1..=30 {
                let (hit, told, left) = run(fail_look_up_and_crash(at, fault));
                row.rounds += 1;
                row.sites += u64::from(hit);
                if told != left {
                    let what = format!("{fault:?} at operation {at}");
                    violations.push(format!("{what}: the outcome was there: {told}; after a crash: {left}"));
                }
            }
        }
        assert!(row.sites > 3, "nothing was hit");
        row.close("looked up after a failed sync", &violations);
    });
}

/// Fails an operation of an append, looks up its command, and crashes. Returns whether anything failed, whether the
/// outcome was there before the crash, and whether it is there afterwards.
async fn fail_look_up_and_crash(at: u64, fault: Fault) -> (bool, bool, bool) {
    let (_folder, path) = folder();
    let (_crashed, copy) = folder();
    let journal = Journal::in_memory();
    let store = SqliteStore::open(&path).await.unwrap();
    Ask::new("first").to("a", 1, Expected::Any).append(&store, &journal).await.unwrap();
    // A reader keeps the log's index alive when the writer gives up its connection, as another process would.
    assert_eq!(store.head().await.unwrap(), 1);
    let doubtful = Ask::new("doubtful").to("a", 1, Expected::Any);
    fault::arm(Plan { reads: false, at, persistent: false, fault });
    let answer = doubtful.append(&store, &journal).await;
    let (_, hits) = fault::disarm();
    // The reader asks while nothing else is written, as the error's own text says one should.
    let told = store.outcome(None, &doubtful.command()).await.unwrap().is_some();
    if let Ok(Appended::Committed(_)) = answer {
        assert!(told);
    }
    // A process that is killed leaves its files as they are.
    for suffix in ["", "-wal"] {
        let from = format!("{}{suffix}", path.display());
        std::fs::copy(from, format!("{}{suffix}", copy.display())).unwrap();
    }
    let left = SqliteStore::open(&copy).await.unwrap();
    (hits > 0, told, left.outcome(None, &doubtful.command()).await.unwrap().is_some())
}
