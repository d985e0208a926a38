//! A second aggregate in one command.

mod bank;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use bank::{Account, AccountRepository, Accounts, Changed, answer, command};
use es_core::{
    AppError, Appended, CommandId, Commit, Enlisted, Error, EventLog, EventStore, Expected, Filter, Limits,
    MemoryStore, NewEvent, Outcome, Page, Result, ScheduledCommand, Snapshot, StoreIdentity, StreamKey, Tenant,
    Timestamp, ensure,
    store::{BoxFuture, Visitor},
};

/// Moves money from the command's account to `b`.
fn moving() -> Accounts {
    Accounts::deciding(|account, command, context| {
        Box::pin(async move {
            account.emit(Changed { cents: -command.cents });
            let mut other = context.enlist::<Account>("b").await?;
            other.emit(Changed { cents: command.cents });
            ensure!(command.cents < 1_000, AppError::failed_precondition("TOO_MUCH", "no"));
            Ok(answer(account))
        })
    })
}

async fn balances(store: &MemoryStore) -> (i64, i64) {
    let accounts = AccountRepository::new(store.clone());
    (accounts.load("a").await.unwrap().cents, accounts.load("b").await.unwrap().cents)
}

#[tokio::test]
async fn both_aggregates_change_in_one_commit() {
    let (client, store) = moving().client();
    let reply = client.decide(command("a", 5)).await.unwrap();
    assert_eq!((reply.receipt().version, reply.receipt().position), (1, 2));
    assert_eq!(balances(&store).await, (-5, 5));
    for event in store.read_all(0, 10, &Filter::all()).await.unwrap().events {
        assert_eq!((event.meta.commit_first, event.meta.commit_last), (1, 2));
    }
}

#[tokio::test]
async fn a_refusal_discards_both() {
    let (client, store) = moving().client();
    client.decide(command("a", 1_000)).await.unwrap_err();
    assert_eq!((balances(&store).await, store.head().await.unwrap()), ((0, 0), 0));
}

#[tokio::test]
async fn a_conflict_on_the_second_makes_the_whole_decision_anew() {
    let store = MemoryStore::new();
    let tries = Arc::new(AtomicU32::new(0));
    let (counted, outside) = (tries.clone(), store.clone());
    let accounts = Accounts::deciding(move |account, command, context| {
        let (tries, outside) = (counted.clone(), outside.clone());
        Box::pin(async move {
            let mut other = context.enlist::<Account>("b").await?;
            if tries.fetch_add(1, Ordering::SeqCst) == 0 {
                let changed = NewEvent::encode(&bank::AccountEvent::from(Changed { cents: 100 }))?;
                outside.append(Commit::append(other.stream().clone(), Expected::Any, vec![changed])).await?;
            }
            let seen = other.cents;
            other.emit(Changed { cents: command.cents });
            account.emit(Changed { cents: seen });
            Ok(answer(account))
        })
    });
    let reply = accounts.client_on(store.clone()).decide(command("a", 5)).await.unwrap();
    assert_eq!((reply.cents, tries.load(Ordering::SeqCst)), (100, 2));
    assert_eq!(balances(&store).await, (100, 105));
}

#[tokio::test]
async fn an_aggregate_that_was_only_looked_at_is_checked_too() {
    let store = MemoryStore::new();
    let tries = Arc::new(AtomicU32::new(0));
    let (counted, outside) = (tries.clone(), store.clone());
    let accounts = Accounts::deciding(move |account, _, context| {
        let (tries, outside) = (counted.clone(), outside.clone());
        Box::pin(async move {
            let looked_at = context.enlist::<Account>("b").await?;
            if tries.fetch_add(1, Ordering::SeqCst) == 0 {
                let changed = NewEvent::encode(&bank::AccountEvent::from(Changed { cents: 7 }))?;
                outside.append(Commit::append(looked_at.stream().clone(), Expected::Any, vec![changed])).await?;
            }
            account.emit(Changed { cents: looked_at.cents });
            Ok(answer(account))
        })
    });
    let reply = accounts.client_on(store).decide(command("a", 5)).await.unwrap();
    assert_eq!((reply.cents, tries.load(Ordering::SeqCst)), (7, 2));
}

#[tokio::test]
async fn a_second_guard_of_one_stream_is_refused_until_the_first_is_dropped() {
    let accounts = Accounts::deciding(|account, _, context| {
        Box::pin(async move {
            let mut first = context.enlist::<Account>("b").await?;
            first.emit(Changed { cents: 1 });
            for id in ["b", "a"] {
                let error = context.enlist::<Account>(id).await.expect_err("enlisted already");
                assert!(matches!(error, Error::AlreadyEnlisted { .. }), "{error}");
            }
            drop(first);
            let again = context.enlist::<Account>("b").await?;
            assert_eq!(again.cents, 1, "it comes back as it was left");
            account.emit(Changed { cents: 2 });
            Ok(answer(account))
        })
    });
    let (client, store) = accounts.client();
    client.decide(command("a", 0)).await.unwrap();
    assert_eq!(balances(&store).await, (2, 1));
}

#[tokio::test]
async fn a_guard_that_is_forgotten_fails_the_command_instead_of_losing_its_events() {
    let accounts = Accounts::deciding(|account, _, context| {
        Box::pin(async move {
            let mut other: Enlisted<'_, Account> = context.enlist("b").await?;
            other.emit(Changed { cents: 1 });
            std::mem::forget(other);
            account.emit(Changed { cents: 2 });
            Ok(answer(account))
        })
    });
    let (client, store) = accounts.client();
    let error = client.decide(command("a", 0)).await.unwrap_err();
    assert!(matches!(error, Error::StillEnlisted { .. }), "{error}");
    assert_eq!(store.head().await.unwrap(), 0);
}

#[tokio::test]
async fn a_bad_id_is_refused_and_leaves_no_trace() {
    let accounts = Accounts::deciding(|account, _, context| {
        Box::pin(async move {
            context.enlist::<Account>("b b").await.expect_err("no id");
            account.emit(Changed { cents: 2 });
            Ok(answer(account))
        })
    });
    let (client, store) = accounts.client();
    client.decide(command("a", 0)).await.unwrap();
    assert_eq!(store.head().await.unwrap(), 1);
}

#[tokio::test]
async fn a_store_that_commits_to_one_stream_at_a_time_says_so() {
    let client = moving().client_on(OneStream(MemoryStore::new()));
    let error = client.decide(command("a", 5)).await.unwrap_err();
    assert_eq!(error.to_string(), "this store does not support a commit over several streams");
}

/// A memory store that can't commit to several streams.
#[derive(Debug)]
struct OneStream(MemoryStore);

impl EventLog for OneStream {
    fn read_all<'a>(&'a self, after: u64, limit: usize, filter: &'a Filter) -> BoxFuture<'a, Result<Page>> {
        self.0.read_all(after, limit, filter)
    }

    fn head(&self) -> BoxFuture<'_, Result<u64>> {
        self.0.head()
    }

    fn watch(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.watch()
    }

    fn identity(&self) -> StoreIdentity {
        self.0.identity()
    }

    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

impl EventStore for OneStream {
    fn append(&self, commit: Commit) -> BoxFuture<'_, Result<Appended>> {
        self.0.append(commit)
    }

    fn fold<'a>(&'a self, stream: &'a StreamKey, after: u64, visit: &'a mut Visitor<'a>) -> BoxFuture<'a, Result<u64>> {
        self.0.fold(stream, after, visit)
    }

    fn version<'a>(&'a self, stream: &'a StreamKey) -> BoxFuture<'a, Result<u64>> {
        self.0.version(stream)
    }

    fn outcome<'a>(&'a self, tenant: Option<&'a Tenant>, id: &'a CommandId) -> BoxFuture<'a, Result<Option<Outcome>>> {
        self.0.outcome(tenant, id)
    }

    fn snapshot<'a>(&'a self, stream: &'a StreamKey, fingerprint: u64) -> BoxFuture<'a, Result<Option<Snapshot>>> {
        self.0.snapshot(stream, fingerprint)
    }

    fn offer_snapshot(&self, snapshot: Snapshot) {
        self.0.offer_snapshot(snapshot);
    }

    fn claimant<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        constraint: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<StreamKey>>> {
        self.0.claimant(tenant, constraint, key)
    }

    fn scheduled<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<ScheduledCommand>>> {
        self.0.scheduled(tenant, key)
    }

    fn due(&self, now: Timestamp, limit: usize) -> BoxFuture<'_, Result<Vec<Result<ScheduledCommand>>>> {
        self.0.due(now, limit)
    }

    fn next_due(&self, after: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>>> {
        self.0.next_due(after)
    }

    fn lease<'a>(
        &'a self,
        command: &'a ScheduledCommand,
        ended: Timestamp,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<bool>> {
        self.0.lease(command, ended, until)
    }

    fn settle<'a>(&'a self, command: &'a ScheduledCommand) -> BoxFuture<'a, Result<bool>> {
        self.0.settle(command)
    }

    fn limits(&self) -> &Limits {
        self.0.limits()
    }

    fn is_atomic_over_streams(&self) -> bool {
        false
    }
}
