//! Loading and saving aggregates.

use std::{fmt, marker::PhantomData, sync::Arc};

use crate::{
    Aggregate, AggregateId, AppError, Appended, Applier, At, EventStore, Metadata, Receipt, Reply, Result, Root,
    SnapshotPolicy, StreamKey, Tenant, guard::guard_call, load, retry::Attempts, unit_of_work::store_roots,
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
pub struct Repository<A> {
    store: Arc<dyn EventStore>,
    tenant: Option<Tenant>,
    snapshots: SnapshotPolicy,
    aggregate: PhantomData<fn() -> A>,
}

impl<A: Aggregate> Repository<A> {
    /// A repository over a store, with a snapshot every 100 events.
    pub fn new(store: impl EventStore) -> Self {
        Self { store: Arc::new(store), tenant: None, snapshots: SnapshotPolicy::default(), aggregate: PhantomData }
    }

    /// Sets when snapshots are made.
    #[must_use]
    pub fn snapshots(mut self, policy: SnapshotPolicy) -> Self {
        self.snapshots = policy;
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

    /// Loads an aggregate as it was at a version or an instant.
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
        let appended = store_roots(&self.store, &[&*root], metadata, None, self.snapshots).await?;
        root.mark_committed();
        Ok(receipt(root, &appended))
    }

    /// Loads an aggregate, lets `decide` emit events on it, and stores them. On a conflict it loads and decides again,
    /// up to 5 times.
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
        let mut attempts = Attempts::default();
        loop {
            let mut root = self.load(id.as_ref()).await?;
            let decided = guard_call(|| format!("a decision on `{}`", A::TYPE), || decide(&mut root))?;
            let response = decided.map_err(AppError::into_error)?;
            match self.save(&mut root).await {
                Ok(receipt) => return Ok(Reply::new(response, receipt)),
                Err(error) => attempts.again_after(error).await?,
            }
        }
    }
}

/// The receipt of a root whose events were stored.
fn receipt<A: Aggregate>(root: &Root<A>, appended: &Appended) -> Receipt {
    let (position, replayed) = match appended {
        Appended::Committed(committed) => (committed.position, false),
        Appended::Replayed(outcome) => (outcome.position, true),
    };
    Receipt { stream: root.stream().clone(), version: root.version(), position, replayed }
}

impl<A> Clone for Repository<A> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            tenant: self.tenant.clone(),
            snapshots: self.snapshots,
            aggregate: PhantomData,
        }
    }
}

impl<A: Aggregate> fmt::Debug for Repository<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository").field("aggregate", &A::TYPE).field("store", &self.store).finish_non_exhaustive()
    }
}
