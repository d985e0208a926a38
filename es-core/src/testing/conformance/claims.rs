//! Unique keys.

use super::*;

const EMAIL: &str = "email";

fn claiming(stream: StreamKey, key: &str) -> Commit {
    Commit::append(stream, Expected::Any, vec![event("claim").claim(EMAIL, key)])
}

fn releasing(stream: StreamKey, key: &str) -> Commit {
    Commit::append(stream, Expected::Any, vec![event("release").release(EMAIL, key)])
}

fn assert_taken(error: &Error) {
    assert!(matches!(error, Error::UniqueTaken { constraint } if constraint == EMAIL), "{error}");
    assert!(!error.to_string().contains("ada@"), "the key is not told: {error}");
}

async fn holder(store: &impl EventStore, key: &str) -> Option<StreamKey> {
    store.claimant(None, EMAIL, key).await.unwrap()
}

/// Two streams cannot hold one key.
pub async fn a_claim_is_exclusive(store: &impl EventStore) {
    assert_eq!(holder(store, "ada@x").await, None);
    committed(store, claiming(stream("a"), "ada@x")).await;
    assert_eq!(holder(store, "ada@x").await, Some(stream("a")));
    assert_taken(&refused(store, claiming(stream("b"), "ada@x")).await);
    committed(store, claiming(stream("b"), "ADA@x")).await;
}

/// A stream may say again what it said before.
pub async fn a_claim_of_ones_own_key_again_is_no_conflict(store: &impl EventStore) {
    committed(store, claiming(stream("a"), "ada@x")).await;
    committed(store, claiming(stream("a"), "ada@x")).await;
    assert_eq!(holder(store, "ada@x").await, Some(stream("a")));
}

/// A key given back is free.
pub async fn a_released_key_can_be_claimed_by_another(store: &impl EventStore) {
    committed(store, claiming(stream("a"), "ada@x")).await;
    committed(store, releasing(stream("a"), "ada@x")).await;
    assert_eq!(holder(store, "ada@x").await, None);
    committed(store, claiming(stream("b"), "ada@x")).await;
    assert_taken(&refused(store, claiming(stream("a"), "ada@x")).await);
}

/// Nobody can give back what another holds, nor does it harm to give back what nobody holds.
pub async fn releasing_what_one_does_not_hold_changes_nothing(store: &impl EventStore) {
    committed(store, claiming(stream("a"), "ada@x")).await;
    committed(store, releasing(stream("b"), "ada@x")).await;
    committed(store, releasing(stream("b"), "nobody@x")).await;
    assert_eq!(holder(store, "ada@x").await, Some(stream("a")));
}

/// Within a commit, what is given back is free before anything is taken; the last word on a key counts.
pub async fn two_streams_swap_keys_in_one_commit(store: &impl EventStore) {
    committed(store, claiming(stream("a"), "ada@x")).await;
    committed(store, claiming(stream("b"), "bob@x")).await;
    let swap = |key: &str, other: &str| vec![event("swap").release(EMAIL, key).claim(EMAIL, other)];
    let commit = Commit::append(stream("a"), Expected::Any, swap("ada@x", "bob@x")).and(
        stream("b"),
        Expected::Any,
        swap("bob@x", "ada@x"),
    );
    committed(store, commit).await;
    assert_eq!(holder(store, "ada@x").await, Some(stream("b")));
    assert_eq!(holder(store, "bob@x").await, Some(stream("a")));
    let undecided = event("undecided").claim(EMAIL, "eve@x").release(EMAIL, "eve@x");
    committed(store, Commit::append(stream("a"), Expected::Any, vec![undecided])).await;
    assert_eq!(holder(store, "eve@x").await, None);
}

/// Two streams of one commit are two streams.
pub async fn two_claimants_in_one_commit_conflict(store: &impl EventStore) {
    let claim = || vec![event("claim").claim(EMAIL, "ada@x")];
    let both = Commit::append(stream("a"), Expected::Any, claim()).and(stream("b"), Expected::Any, claim());
    assert_taken(&refused(store, both).await);
    assert_eq!(store.head().await.unwrap(), 0);
}

/// A refused claim takes its whole commit with it: events, other claims, releases.
pub async fn a_refused_claim_stores_nothing(store: &impl EventStore) {
    committed(store, claiming(stream("a"), "ada@x")).await;
    committed(store, claiming(stream("b"), "bob@x")).await;
    let event = event("all").release(EMAIL, "bob@x").claim(EMAIL, "free@x").claim(EMAIL, "ada@x");
    assert_taken(&refused(store, Commit::append(stream("b"), Expected::Any, vec![event])).await);
    assert_eq!(holder(store, "bob@x").await, Some(stream("b")));
    assert_eq!(holder(store, "free@x").await, None);
    assert_eq!(store.head().await.unwrap(), 2);
}

/// The index of keys can be rebuilt from the log.
pub async fn claims_are_recorded_with_their_event(store: &impl EventStore) {
    let changes = event(1).claim(EMAIL, "ada@x").release(EMAIL, "old@x");
    committed(store, Commit::append(stream("a"), Expected::Any, vec![changes.clone(), event(2)])).await;
    let log = log(store, 10, &Filter::all()).await;
    assert_eq!(log[0].meta.origin().unwrap().claims, changes.claims);
    assert_eq!(log[1].meta.origin().unwrap().claims, []);
}

/// A field that was never set is not a key.
pub async fn an_empty_key_is_refused(store: &impl EventStore) {
    for event in [event(1).claim(EMAIL, ""), event(1).claim("", "ada@x"), event(1).release(EMAIL, "")] {
        let error = refused(store, Commit::append(stream("a"), Expected::Any, vec![event])).await;
        assert!(matches!(error, Error::InvalidId { .. }), "{error}");
    }
}

/// A key is one of its tenant and of its constraint.
pub async fn claims_of_tenants_and_constraints_do_not_mix(store: &impl EventStore) {
    committed(store, claiming(stream("a"), "ada@x")).await;
    committed(store, claiming(tenant_stream("t1", "b"), "ada@x")).await;
    committed(store, Commit::append(stream("c"), Expected::Any, vec![event(1).claim("login", "ada@x")])).await;
    assert_taken(&refused(store, claiming(tenant_stream("t1", "c"), "ada@x")).await);
    let other = tenant_stream("t1", "b");
    assert_eq!(store.claimant(other.tenant.as_ref(), EMAIL, "ada@x").await.unwrap(), Some(other));
}
