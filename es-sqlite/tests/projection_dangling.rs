//! Hooks that leave a deferred foreign key behind which refers to nothing: it shows only when a page is committed.

mod support;

use es_core::{Error, Subscriber};
use es_sqlite::{OnFailure, SqliteProjection, SqliteProjectionBuilder, SqliteStore};
use support::{AccountHooks, deposit, folder, open_account};
use tempfile::TempDir;

/// What a deposit of so many cents does: refers to an owner that comes later, is that owner, or refers to nobody.
const AHEAD: i64 = 0;
const LATER: i64 = 5;
const NOBODY: i64 = -1;

fn cars() -> SqliteProjectionBuilder {
    SqliteProjection::builder("cars")
        .migration("CREATE TABLE owner (id TEXT PRIMARY KEY)")
        .migration("CREATE TABLE car (position INTEGER, owner REFERENCES owner DEFERRABLE INITIALLY DEFERRED)")
        .on_account_opened(|tx, event, _| tx.run("INSERT INTO owner VALUES (?1)", [&event.account_id]))
        .on_money_deposited(|tx, event, meta| {
            let owner = match event.cents {
                AHEAD => "later".to_owned(),
                NOBODY => "nobody".to_owned(),
                LATER => return tx.run("INSERT INTO owner VALUES ('later')", ()),
                _ => event.account_id.clone(),
            };
            tx.run("INSERT INTO car VALUES (?1, ?2)", (meta.position, owner))
        })
        .retries(1)
}

/// Accounts a, b and c at 1 to 3; a deposit to each at 4 to 6; one commit that refers ahead (7), to nobody (8), and has
/// the owner that was referred to (9); a deposit to each at 10 to 12.
async fn log(store: &SqliteStore) {
    for id in ["a", "b", "c"] {
        open_account(store, id).await;
    }
    for deposits in [&[("a", 1)][..], &[("b", 1)], &[("c", 1)], &[("a", AHEAD), ("b", NOBODY), ("c", LATER)]] {
        deposit(store, deposits).await;
    }
    for id in ["a", "b", "c"] {
        deposit(store, &[(id, 1)]).await;
    }
}

async fn kept(projection: &SqliteProjection) -> Vec<u64> {
    projection.query(|tx| tx.query("SELECT position FROM car ORDER BY position", (), |row| row.get(0))).await.unwrap()
}

/// The read model after all of the log, by a policy: in the store's file, then in one of its own.
async fn by_policy(policy: OnFailure) -> Vec<(Result<u64, Error>, SqliteProjection, TempDir)> {
    let mut each = Vec::new();
    for own_file in [false, true] {
        let (folder, path) = folder();
        let store = SqliteStore::open(&path).await.unwrap();
        log(&store).await;
        let builder = cars().on_failure(policy);
        let read = path.with_file_name("read.db");
        let projection = if own_file { builder.build_in(read, &store) } else { builder.build(&store) }.unwrap();
        each.push((projection.catch_up().await, projection, folder));
    }
    each
}

#[tokio::test]
async fn the_projection_halts_before_the_commit_of_the_event_that_is_to_blame() {
    for (caught_up, projection, _folder) in by_policy(OnFailure::Halt).await {
        let error = caught_up.unwrap_err();
        assert!(matches!(&error, Error::ProjectionFaulted { position: 8, .. }), "{error}");
        assert_eq!((projection.checkpoint(0).await.unwrap(), kept(&projection).await), (6, vec![4, 5, 6]));
    }
}

#[tokio::test]
async fn the_event_that_is_to_blame_is_passed_over_alone() {
    for (caught_up, projection, _folder) in by_policy(OnFailure::Skip).await {
        assert_eq!(caught_up.unwrap(), 12);
        assert_eq!(kept(&projection).await, [4, 5, 6, 7, 10, 11, 12]);
    }
}

#[tokio::test]
async fn the_aggregate_of_the_event_that_is_to_blame_is_parked() {
    for (caught_up, projection, _folder) in by_policy(OnFailure::ParkAggregate).await {
        assert_eq!(caught_up.unwrap(), 12);
        assert_eq!(kept(&projection).await, [4, 5, 6, 7, 10, 12]);
        let parked = projection.parked().await.unwrap();
        assert_eq!(parked.iter().map(|event| event.position).collect::<Vec<_>>(), [8, 11]);
        let why = parked[0].error.clone().unwrap_or_default();
        assert!(why.contains("FOREIGN KEY"), "{why}");
    }
}
