//! A reader that never lets go: the log can't be copied past it, so it grows; appends and reads go on, and when the
//! reader is gone the log is copied and cut off.

use std::path::Path;

use es_core::Expected;
use es_sqlite::{SqliteStore, rusqlite::Connection};
use torture::{checker::Checker, journal::Journal, table::Row, work::Ask};

use crate::support::{folder, run};

/// 20,000 events, in commits that together are more than the log holds before it is copied.
const COMMITS: u64 = 2_000;
const EVENTS: u64 = 10;

fn log_bytes(path: &Path) -> u64 {
    std::fs::metadata(format!("{}-wal", path.display())).map_or(0, |file| file.len())
}

/// Appends 20,000 events and returns how large the log grew.
async fn grow(path: &Path, held: bool) -> (u64, Checker) {
    let (journal, mut checker) = (Journal::in_memory(), Checker::new());
    let store = SqliteStore::open(path).await.unwrap();
    Ask::new("first").to("first", 1, Expected::Any).append(&store, &journal).await.unwrap();
    let reader = Connection::open(path).unwrap();
    let count = || reader.query_row("SELECT count(*) FROM es_events", (), |row| row.get::<_, u64>(0)).unwrap();
    if held {
        reader.execute_batch("BEGIN").unwrap();
    }
    assert_eq!(count(), 1);
    let mut largest = 0;
    for number in 0..COMMITS {
        let ask = Ask::new(format!("c-{number}")).to(format!("s-{}", number % 10), EVENTS, Expected::Any);
        ask.append(&store, &journal).await.expect("a reader keeps nobody from writing");
        largest = largest.max(log_bytes(path));
    }
    checker.learn(journal.take());
    checker.check(&store).await;
    assert_eq!(count(), if held { 1 } else { 1 + COMMITS * EVENTS }, "a reader sees what was there when it began");
    drop(reader);
    checker.check_whole(&store).await;
    store.shutdown().await.unwrap();
    assert_eq!(log_bytes(path), 0, "without the reader, the log is copied and cut off");
    (largest, checker)
}

#[test]
fn a_held_reader_makes_the_log_grow_and_stops_nobody() {
    run(async {
        let test = "held reader";
        let (_folder, path) = folder();
        let (free, _) = grow(&path, false).await;
        let (_folder, path) = folder();
        let (held, checker) = grow(&path, true).await;
        println!("{test}: the log grew to {free} bytes without it, to {held} with it");
        Row { rounds: 1, acknowledged: checker.acknowledged(), ..Row::default() }.close(test, checker.violations());
        // Without a reader the log is used over and over.
        assert!(free < held, "{free} bytes without a reader, {held} with one");
    });
}
