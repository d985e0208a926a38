//! Projections of a part of the log.

mod support;

use es_core::{AggregateId, Commit, Error, EventStore, Expected, NewEvent, StreamKey, Subscriber, Tenant};
use es_sqlite::{SqliteProjectionBuilder, SqliteStore};
use support::{
    AccountOpened,
    balances::{balances, both, expected, rows},
    commit, folder, open_account, stream,
};

fn key(tenant: Option<&str>, stream_type: &str, id: &str) -> StreamKey {
    StreamKey::new(tenant.map(|tenant| Tenant::new(tenant).unwrap()), stream_type, AggregateId::new(id).unwrap())
}

async fn open(store: &SqliteStore, key: StreamKey) {
    let opened = AccountOpened { account_id: key.id.to_string() }.new_event();
    commit(store, Commit::append(key, Expected::NoStream, vec![opened])).await.unwrap();
}

#[tokio::test]
async fn a_projection_can_follow_one_tenant_or_some_aggregates() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open(&store, key(Some("acme"), "bank.v1.Account", "a")).await;
    open(&store, key(Some("other"), "bank.v1.Account", "b")).await;
    open(&store, key(Some("acme"), "bank.v1.Savings", "c")).await;
    open(&store, key(None, "bank.v1.Account", "d")).await;
    let acme = || Tenant::new("acme").unwrap();
    let cases: [(SqliteProjectionBuilder, &[(&str, i64)]); 4] = [
        (balances(), &[("a", 0), ("b", 0), ("c", 0), ("d", 0)]),
        (balances().tenant(acme()), &[("a", 0), ("c", 0)]),
        (balances().aggregates(["bank.v1.Account"]), &[("a", 0), ("b", 0), ("d", 0)]),
        (balances().tenant(acme()).aggregates(["bank.v1.Savings", "bank.v1.None"]), &[("c", 0)]),
    ];
    for (at, (builder, found)) in cases.into_iter().enumerate() {
        let projection = builder.build_in(path.with_file_name(format!("{at}.db")), &store).unwrap();
        assert_eq!(projection.catch_up().await.unwrap(), 4);
        assert_eq!(rows(&projection).await, expected(found));
    }
}

#[tokio::test]
async fn a_read_model_of_one_tenant_is_not_continued_as_that_of_another() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    let of = |tenant: &str| balances().tenant(Tenant::new(tenant).unwrap()).build(&store).unwrap();
    of("one").catch_up().await.unwrap();
    of("one").catch_up().await.unwrap();
    let error = of("two").catch_up().await.unwrap_err();
    let Error::ProjectionChanged { added, removed, .. } = &error else { panic!("{error}") };
    assert_eq!((added[0].as_str(), removed[0].as_str()), ("only tenant two", "only tenant one"));
    let error = balances().build(&store).unwrap().catch_up().await.unwrap_err();
    assert!(matches!(error, Error::ProjectionChanged { .. }), "{error}");
}

#[tokio::test]
async fn one_match_in_a_hundred_thousand_events_and_it_is_caught_up() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let others = vec![NewEvent::raw("bank.v1.Other", b"x"); 1_000];
    for at in 0..100 {
        if at == 60 {
            open_account(&store, "a").await;
        }
        store.append(Commit::append(stream("x"), Expected::Any, others.clone())).await.unwrap();
    }
    for projection in both(&path, &store).await {
        let (mut handled, mut last) = (0, 0);
        loop {
            let progress = projection.advance(&store, 0).await.unwrap();
            assert!(progress.checkpoint > last, "each page moves the checkpoint");
            assert_eq!(projection.checkpoint(0).await.unwrap(), progress.checkpoint);
            (handled, last) = (handled + progress.handled, progress.checkpoint);
            assert_eq!(progress.caught_up, last == 100_001, "caught up is at the head only");
            if progress.caught_up {
                break;
            }
        }
        assert_eq!(handled, 1);
        assert_eq!(rows(&projection).await, expected(&[("a", 0)]));
    }
}
