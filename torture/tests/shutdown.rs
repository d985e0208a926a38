//! A store that is closed in the middle of a batch: everyone is answered, and what was acknowledged is there.

use std::{sync::Arc, time::Duration};

use es_core::{Error, EventLog};
use es_sqlite::SqliteStore;
use torture::{checker::Checker, effort, journal::Journal, table::Row, work};

use crate::support::{folder, run};

#[test]
fn a_shutdown_in_the_middle_of_a_batch_answers_every_append() {
    let test = "shutdown in mid-batch";
    let mut rng = effort::lots(test);
    let rounds = effort::times(50, 1_000);
    let (_folder, path) = folder();
    let (mut checker, mut refused) = (Checker::new(), 0);
    run(async {
        for round in 0..rounds {
            let store = SqliteStore::open(&path).await.unwrap();
            let journal = Arc::new(Journal::in_memory());
            let tasks: Vec<_> = (0..24)
                .map(|task| {
                    let (store, journal, mut rng) = (store.clone(), Arc::clone(&journal), rng.fork());
                    tokio::spawn(async move {
                        for number in 0.. {
                            let ask = work::by_lot(&mut rng, &format!("r{round}x{task}"), number);
                            if let Err(error) = ask.append(&store, &journal).await {
                                return error;
                            }
                        }
                        unreachable!("the store is closed before that")
                    })
                })
                .collect();
            tokio::time::sleep(Duration::from_micros(rng.u64(..4_000))).await;
            store.shutdown().await.unwrap();
            for task in tasks {
                // Only a task that waits for ever takes as long.
                let error = tokio::time::timeout(Duration::from_secs(120), task).await.expect("an answer").unwrap();
                assert!(matches!(error, Error::ShuttingDown), "{error}");
                refused += 1;
            }
            assert!(matches!(store.head().await, Err(Error::ShuttingDown)));
            let store = SqliteStore::open(&path).await.unwrap();
            checker.learn(journal.take());
            checker.check(&store).await;
            store.shutdown().await.unwrap();
        }
        let store = SqliteStore::open(&path).await.unwrap();
        checker.check_whole(&store).await;
    });
    assert_eq!(refused, 24 * rounds);
    Row { rounds, seeds: 1, acknowledged: checker.acknowledged(), ..Row::default() }.close(test, checker.violations());
}
