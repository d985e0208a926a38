//! Loading and saving aggregates.

use std::{fmt, sync::Arc};

use crate::{
    Aggregate, AggregateId, AppError, Applier, At, Commit, EventStore, Metadata, Receipt, Reply, Result, Root,
    SnapshotPolicy, StreamKey, Tenant,
    decision::Decision,
    guard::guard_call,
    hot_roots::{HotRoots, Turn},
    load,
    unit_of_work::store_roots,
};

/// Loads and saves the aggregates of one kind. Cloning is cheap.
///
/// ```
/// # use es_core::{Applier, EventOf, Repository, Result};
/// async fn bump<A: Applier, E: EventOf<A::Event>>(repository: &Repository<A>, event: E) -> Result<u64> {
///     let reply = repository
///         .execute("acc-1", |account| {
///             account.emit(event.clone());
///             Ok(account.version())
///         })
///         .await?;
///     Ok(*reply)
/// }
/// ```
///
/// Aggregates that commands work on stay in memory for the next command. A decision on such a state is safe: one that
/// emits events is stored only if the stream still stands where the state does, and any other answer is given only
/// after looking at the stream's version; otherwise it is made again on fresh state.
pub struct Repository<A> {
    store: Arc<dyn EventStore>,
    tenant: Option<Tenant>,
    snapshots: SnapshotPolicy,
    hot: Arc<HotRoots<A>>,
}

/// Aggregates kept in memory unless said otherwise.
const HOT_ROOTS: usize = 1_024;

impl<A: Aggregate> Repository<A> {
    /// A repository over a store, with a snapshot every 100 events and 1,024 aggregates kept in memory.
    pub fn new(store: impl EventStore) -> Self {
        Self {
            store: Arc::new(store),
            tenant: None,
            snapshots: SnapshotPolicy::default(),
            hot: Arc::new(HotRoots::new(HOT_ROOTS)),
        }
    }

    /// Sets when snapshots are made.
    #[must_use]
    pub fn snapshots(mut self, policy: SnapshotPolicy) -> Self {
        self.snapshots = policy;
        self
    }

    /// Sets how many aggregates stay in memory between commands. 0 keeps none; then each command folds its own.
    #[must_use]
    pub fn hot_roots(mut self, capacity: usize) -> Self {
        self.hot = Arc::new(HotRoots::new(capacity));
        self
    }

    /// Works on the aggregates of this tenant.
    #[must_use]
    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// The store below.
    pub fn store(&self) -> &Arc<dyn EventStore> {
        &self.store
    }

    pub(crate) fn snapshot_policy(&self) -> SnapshotPolicy {
        self.snapshots
    }

    pub(crate) async fn turn(&self, stream: &StreamKey) -> Turn<A> {
        self.hot.turn(stream).await
    }

    pub(crate) fn default_tenant(&self) -> Option<&Tenant> {
        self.tenant.as_ref()
    }

    fn stream(&self, id: &str) -> Result<StreamKey> {
        self.store.limits().check_id("aggregate id", id)?;
        Ok(StreamKey::new(self.tenant.clone(), A::TYPE, AggregateId::new(id)?))
    }

    fn metadata(&self) -> Metadata {
        Metadata { tenant: self.tenant.clone(), ..Metadata::default() }
    }

    /// Loads an aggregate. One that does not exist comes as its default, at version 0.
    ///
    /// # Errors
    /// A bad id, an event that can't be read, or what the storage reports.
    pub async fn load(&self, id: impl AsRef<str>) -> Result<Root<A>>
    where
        A: Applier,
    {
        load::load(&self.store, self.stream(id.as_ref())?).await
    }

    /// Loads an aggregate as it was at a version or an instant; as it is now, when that lies beyond its last event.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn load_at(&self, id: impl AsRef<str>, at: At) -> Result<Root<A>>
    where
        A: Applier,
    {
        load::load_at(&self.store, self.stream(id.as_ref())?, at).await
    }

    /// Whether an aggregate has any event.
    ///
    /// # Errors
    /// A bad id, or what the storage reports.
    pub async fn exists(&self, id: impl AsRef<str>) -> Result<bool> {
        Ok(self.store.version(&self.stream(id.as_ref())?).await? > 0)
    }

    /// Stores what an aggregate emitted; on an error it keeps it.
    ///
    /// # Errors
    /// [`Conflict`](crate::Error::Conflict) when someone else wrote to the stream, or what the storage reports.
    pub async fn save(&self, root: &mut Root<A>) -> Result<Receipt>
    where
        A: Applier,
    {
        let metadata = Metadata { tenant: root.stream().tenant.clone(), ..self.metadata() };
        let appended = store_roots(&self.store, &[&*root], Commit::new(metadata), self.snapshots).await?;
        root.mark_committed();
        Ok(root.receipt(appended.position()))
    }

    /// Loads an aggregate, lets `decide` emit events on it, and stores them. On a conflict it loads and decides again,
    /// up to 8 times.
    ///
    /// # Errors
    /// [`Rejected`](crate::Error::Rejected) with what `decide` refused, [`HandlerPanicked`](crate::Error::HandlerPanicked),
    /// [`Conflict`](crate::Error::Conflict) when it lost every time, or what the storage reports.
    pub async fn execute<R>(
        &self,
        id: impl AsRef<str>,
        mut decide: impl FnMut(&mut Root<A>) -> Result<R, AppError>,
    ) -> Result<Reply<R>>
    where
        A: Applier,
    {
        let mut decision = Decision::new(self, self.stream(id.as_ref())?, false);
        loop {
            let mut root = decision.begin().await?;
            let decided = guard_call(|| format!("a decision on `{}`", A::TYPE), || decide(&mut root))?;
            // What stores nothing counts only if the state it was decided on still does.
            let stores_nothing = decided.is_err() || root.emitted().is_empty();
            let current = if stores_nothing { decision.check(&root).await } else { Ok(()) };
            let stored = match (current, decided) {
                (Err(moved_on), _) => Err(moved_on),
                (Ok(()), Err(refusal)) => Err(refusal.into_error()),
                (Ok(()), Ok(response)) => self.save(&mut root).await.map(|receipt| (response, receipt)),
            };
            match stored {
                Ok((response, receipt)) => {
                    decision.keep(root);
                    return Ok(Reply::new(response, receipt));
                }
                Err(error) => decision.again_after(error).await?,
            }
        }
    }
}

impl<A> Clone for Repository<A> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            tenant: self.tenant.clone(),
            snapshots: self.snapshots,
            hot: Arc::clone(&self.hot),
        }
    }
}

impl<A: Aggregate> fmt::Debug for Repository<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository").field("aggregate", &A::TYPE).field("store", &self.store).finish_non_exhaustive()
    }
}
