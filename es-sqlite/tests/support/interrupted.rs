//! A store that does something else between reading a page and handing it over.

#![allow(dead_code, missing_docs, unreachable_pub)]

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use es_core::{
    Appended, CommandId, Commit, EventLog, EventStore, Filter, Limits, Outcome, Page, Result, ScheduledCommand,
    Snapshot, StoreIdentity, StreamKey, Tenant, Timestamp,
    store::{BoxFuture, Visitor},
};
use es_sqlite::SqliteStore;
use tokio::sync::watch;

/// What happens meanwhile.
type Meanwhile = BoxFuture<'static, ()>;

/// Delays the reader of one page by what happens meanwhile.
pub struct Interrupted {
    store: SqliteStore,
    meanwhile: Mutex<Option<Meanwhile>>,
}

impl Interrupted {
    pub fn new(store: &SqliteStore, meanwhile: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { store: store.clone(), meanwhile: Mutex::new(Some(Box::pin(meanwhile))) }
    }
}

impl fmt::Debug for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupted").field("store", &self.store).finish_non_exhaustive()
    }
}

impl EventLog for Interrupted {
    fn read_all<'a>(&'a self, after: u64, limit: usize, filter: &'a Filter) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move {
            let page = self.store.read_all(after, limit, filter).await;
            let meanwhile = self.meanwhile.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(meanwhile) = meanwhile {
                meanwhile.await;
            }
            page
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<u64>> {
        self.store.head()
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.store.watch()
    }

    fn identity(&self) -> StoreIdentity {
        self.store.identity()
    }

    fn now(&self) -> Timestamp {
        self.store.now()
    }
}

impl EventStore for Interrupted {
    fn append(&self, commit: Commit) -> BoxFuture<'_, Result<Appended>> {
        self.store.append(commit)
    }

    fn fold<'a>(&'a self, stream: &'a StreamKey, after: u64, visit: &'a mut Visitor<'a>) -> BoxFuture<'a, Result<u64>> {
        self.store.fold(stream, after, visit)
    }

    fn version<'a>(&'a self, stream: &'a StreamKey) -> BoxFuture<'a, Result<u64>> {
        self.store.version(stream)
    }

    fn outcome<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        command: &'a CommandId,
    ) -> BoxFuture<'a, Result<Option<Outcome>>> {
        self.store.outcome(tenant, command)
    }

    fn snapshot<'a>(&'a self, stream: &'a StreamKey, fingerprint: u64) -> BoxFuture<'a, Result<Option<Snapshot>>> {
        self.store.snapshot(stream, fingerprint)
    }

    fn offer_snapshot(&self, snapshot: Snapshot) {
        self.store.offer_snapshot(snapshot);
    }

    fn claimant<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        constraint: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<StreamKey>>> {
        self.store.claimant(tenant, constraint, key)
    }

    fn scheduled<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<ScheduledCommand>>> {
        self.store.scheduled(tenant, key)
    }

    fn due(&self, now: Timestamp, limit: usize) -> BoxFuture<'_, Result<Vec<Result<ScheduledCommand>>>> {
        self.store.due(now, limit)
    }

    fn next_due(&self, after: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>>> {
        self.store.next_due(after)
    }

    fn lease<'a>(
        &'a self,
        command: &'a ScheduledCommand,
        ended: Timestamp,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<bool>> {
        self.store.lease(command, ended, until)
    }

    fn settle<'a>(&'a self, command: &'a ScheduledCommand) -> BoxFuture<'a, Result<bool>> {
        self.store.settle(command)
    }

    fn limits(&self) -> &Limits {
        self.store.limits()
    }
}
