//! What the builders of projections and reactors have in common.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use uuid::Uuid;

use super::{Handler, Handling};
use crate::{
    CheckpointStore, Error, EventLog, Filter, Result, Tenant,
    checkpoints::Registration,
    subscriber::{check_name, check_partitions},
};

const LEASE: Duration = Duration::from_secs(10);

/// How events are to be delivered.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    name: String,
    pub(crate) partitions: u32,
    pub(crate) tenant: Option<Tenant>,
    pub(crate) retries: u32,
    pub(crate) lease: Duration,
    /// Where a new one starts: at the head instead of the beginning.
    pub(crate) at_head: bool,
    /// What generated code knows of each stream type with hooks.
    known: BTreeMap<&'static str, BTreeSet<&'static str>>,
    pub(crate) ignored: Vec<String>,
}

impl Setup {
    pub(crate) fn new(name: String) -> Self {
        let (known, ignored) = (BTreeMap::new(), Vec::new());
        Self { name, partitions: 1, tenant: None, retries: 3, lease: LEASE, at_head: false, known, ignored }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn knows(&mut self, stream_type: &'static str, event_types: &'static [&'static str]) {
        self.known.entry(stream_type).or_default().extend(event_types);
    }

    /// Registers it, and makes what delivers to this handler.
    pub(crate) async fn finish<H: Handler>(
        self,
        handler: H,
        events: impl IntoIterator<Item = &'static str>,
        log: &dyn EventLog,
        checkpoints: impl CheckpointStore,
    ) -> Result<Handling<H>> {
        let Self { name, partitions, tenant, retries, lease, at_head, known, ignored } = self;
        check_name("subscriber name", &name)?;
        check_partitions(&name, partitions)?;
        let mut events: Vec<_> = events.into_iter().map(str::to_owned).collect();
        if events.is_empty() {
            return Err(Error::invalid_request(format!("`{name}` has no hooks; add one for each event it is for")));
        }
        events.sort_unstable();
        let filter = Filter { tenant, ..Filter::all().event_types(&events) };
        let filter = known.into_iter().fold(filter, |filter, (stream_type, types)| {
            filter.or_unknown(stream_type, types.into_iter().map(str::to_owned).chain(ignored.iter().cloned()))
        });
        let start = if at_head { log.head().await? } else { 0 };
        let store = log.identity();
        checkpoints.register(Registration { name: name.clone(), partitions, events, store, start }).await?;
        Ok(Handling {
            name: name.into(),
            handler,
            filter,
            retries,
            lease,
            owner: Uuid::now_v7(),
            checkpoints: Arc::new(checkpoints),
            turns: (0..partitions).map(|_| Default::default()).collect(),
        })
    }
}

/// The settings that both builders have.
macro_rules! handling_settings {
    () => {
        /// Sets how many partitions handle its events beside each other. Default: 1. The events of one aggregate all go
        /// to the same partition, in order.
        ///
        /// The number may be changed later: what the former partitions have not handled, they handle first.
        pub fn partitions(mut self, partitions: u32) -> Self {
            self.setup.partitions = partitions;
            self
        }

        /// Handles the events of this tenant only. Default: those of all tenants, and those without one.
        pub fn tenant(mut self, tenant: $crate::Tenant) -> Self {
            self.setup.tenant = Some(tenant);
            self
        }

        /// Passes over events of this stored type (`bank.v1.AccountFrozen`) although the program does not know them.
        ///
        /// Otherwise such an event stops it when it was recorded by an aggregate whose other events have generated hooks
        /// here: a newer program wrote it, and what it says might be needed.
        pub fn ignore(mut self, event_type: impl Into<String>) -> Self {
            self.setup.ignored.push(event_type.into());
            self
        }

        /// Sets how often a hook that fails is tried again, after a pause of 10 ms that doubles each time, up to 5
        /// seconds. Default: 3. After that it stops.
        pub fn retries(mut self, times: u32) -> Self {
            self.setup.retries = times;
            self
        }

        /// Sets for how long a partition is leased, by the store's clock. Default: 10 seconds. So long another process
        /// waits before it goes on in the place of one that died. More than
        /// [a minute](crate::checkpoints::Checkpoint::LONGEST_LEASE) is taken for a minute.
        ///
        /// A hook may take longer: while it runs, the lease is renewed after each third of it. Should it be lost all the
        /// same, because the store could not be reached or the process stood still, the hook is not broken off; what
        /// comes after its event is left to the new owner.
        pub fn lease(mut self, lease: ::std::time::Duration) -> Self {
            self.setup.lease = lease.min($crate::checkpoints::Checkpoint::LONGEST_LEASE);
            self
        }
    };
}

pub(crate) use handling_settings;
