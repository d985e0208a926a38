//! What has happened before a test looks.

use std::time::Duration;

use crate::{
    Aggregate, AggregateId, Commit, EventStore, Expected, ManualClock, NewEvent, StreamKey, Tenant, Timestamp,
};

/// Events of any aggregates, in order, and when they were recorded: what the fixtures of read models and reactors are
/// given, and what a fixture of your own can be made of.
///
/// # Panics
/// Like everything here, when the test is wrong: an id that is none, events that can't be stored.
#[derive(Debug, Default)]
pub struct History {
    steps: Vec<Step>,
    tenant: Option<Tenant>,
}

#[derive(Debug)]
enum Step {
    Commit(Box<Commit>),
    At(Timestamp),
    After(Duration),
}

impl History {
    /// When the clocks of fixtures begin: 2026-01-01T00:00:00Z.
    pub const BEGINNING: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

    /// Adds events of an aggregate, recorded in one commit.
    #[track_caller]
    pub fn commit<A: Aggregate>(&mut self, id: &str, events: impl IntoIterator<Item = impl Into<A::Event>>) {
        let id = AggregateId::new(id).expect("the aggregate's id");
        let encode = |event| NewEvent::encode::<A::Event>(&event).expect("an event that can be encoded");
        let events = events.into_iter().map(|event| encode(event.into())).collect();
        let stream = StreamKey::new(self.tenant.clone(), A::TYPE, id);
        self.steps.push(Step::Commit(Box::new(Commit::append(stream, Expected::Any, events))));
    }

    /// What is added from here on belongs to this tenant.
    #[track_caller]
    pub fn tenant(&mut self, tenant: &str) {
        self.tenant = Some(Tenant::new(tenant).expect("the tenant's name"));
    }

    /// What is added from here on is recorded at this instant.
    pub fn at(&mut self, now: Timestamp) {
        self.steps.push(Step::At(now));
    }

    /// What is added from here on is recorded so much later.
    pub fn after(&mut self, elapsed: Duration) {
        self.steps.push(Step::After(elapsed));
    }

    /// Records all of it in a store that goes by this clock.
    pub async fn record(self, store: &dyn EventStore, clock: &ManualClock) {
        for step in self.steps {
            match step {
                Step::Commit(commit) => drop(store.append(*commit).await.expect("given events that can be stored")),
                Step::At(now) => clock.set(now),
                Step::After(elapsed) => clock.advance(elapsed),
            }
        }
    }
}

/// Gives a fixture with a `history` the methods that add to it.
#[doc(hidden)]
#[macro_export]
macro_rules! __given_history {
    () => {
        /// An aggregate has these events, recorded in one commit. Events of several types are given as the set:
        /// `[AccountEvent::from(opened), deposited.into()]`.
        ///
        /// They go through their encoding and back, so a field that is not encoded shows here.
        #[track_caller]
        pub fn given<A: $crate::Aggregate>(
            mut self,
            id: &str,
            events: impl IntoIterator<Item = impl Into<A::Event>>,
        ) -> Self {
            self.history.commit::<A>(id, events);
            self
        }

        /// What is given from here on belongs to this tenant.
        #[track_caller]
        pub fn tenant(mut self, tenant: &str) -> Self {
            self.history.tenant(tenant);
            self
        }

        /// What is given from here on is recorded at this instant. Default: 2026-01-01T00:00:00Z.
        pub fn at(mut self, now: $crate::Timestamp) -> Self {
            self.history.at(now);
            self
        }

        /// What is given from here on is recorded so much later.
        pub fn after(mut self, elapsed: std::time::Duration) -> Self {
            self.history.after(elapsed);
            self
        }
    };
}
