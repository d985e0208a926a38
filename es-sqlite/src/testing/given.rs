//! What has happened before the read model is looked at.

use std::{
    future::{Future, IntoFuture},
    time::Duration,
};

use es_core::{
    Aggregate, AggregateId, Commit, EventStore, Expected, NewEvent, StreamKey, Tenant, Timestamp, store::BoxFuture,
};

use super::ReadModel;
use crate::SqliteProjectionBuilder;

/// Begins a test of a read model: say which events are [given](Given::given), and await it.
pub fn read_model(builder: SqliteProjectionBuilder) -> Given {
    Given::new(Of::New(Box::new(builder)))
}

/// Events for a read model; awaited, they are stored and handled.
///
/// # Panics
/// Like everything here, when the test is wrong: an id that is none, events that can't be stored, a read model that
/// can't be built. And when a hook refuses an event.
#[derive(Debug)]
#[must_use = "a test that is not awaited tests nothing"]
pub struct Given {
    of: Of,
    steps: Vec<Step>,
    tenant: Option<Tenant>,
}

#[derive(Debug)]
enum Of {
    New(Box<SqliteProjectionBuilder>),
    Made(ReadModel),
}

#[derive(Debug)]
enum Step {
    Commit(Commit),
    At(Timestamp),
    After(Duration),
}

impl Given {
    fn new(of: Of) -> Self {
        Self { of, steps: Vec::new(), tenant: None }
    }

    pub(super) fn more(model: ReadModel) -> Self {
        Self::new(Of::Made(model))
    }

    /// An aggregate has these events, recorded in one commit. Events of several types are given as the set:
    /// `[AccountEvent::from(opened), deposited.into()]`.
    ///
    /// They go through their encoding and back, so a field that is not encoded shows here.
    #[track_caller]
    pub fn given<A: Aggregate>(mut self, id: &str, events: impl IntoIterator<Item = impl Into<A::Event>>) -> Self {
        let id = AggregateId::new(id).expect("the aggregate's id");
        let encode = |event| NewEvent::encode::<A::Event>(&event).expect("an event that can be encoded");
        let events = events.into_iter().map(|event| encode(event.into())).collect();
        let commit = Commit::append(StreamKey::new(self.tenant.clone(), A::TYPE, id), Expected::Any, events);
        self.steps.push(Step::Commit(commit));
        self
    }

    /// What is given from here on belongs to this tenant.
    #[track_caller]
    pub fn tenant(mut self, tenant: &str) -> Self {
        self.tenant = Some(Tenant::new(tenant).expect("the tenant's name"));
        self
    }

    /// What is given from here on is recorded at this instant. Default: 2026-01-01T00:00:00Z.
    pub fn at(mut self, now: Timestamp) -> Self {
        self.steps.push(Step::At(now));
        self
    }

    /// What is given from here on is recorded so much later.
    pub fn after(mut self, elapsed: Duration) -> Self {
        self.steps.push(Step::After(elapsed));
        self
    }

    async fn handled(self) -> ReadModel {
        let model = match self.of {
            Of::New(builder) => ReadModel::make(*builder).await,
            Of::Made(model) => model,
        };
        for step in self.steps {
            match step {
                Step::Commit(commit) => {
                    model.store().append(commit).await.expect("given events that can be stored");
                }
                Step::At(now) => model.clock().set(now),
                Step::After(elapsed) => model.clock().advance(elapsed),
            }
        }
        model.caught_up().await;
        model
    }
}

impl IntoFuture for Given {
    type Output = ReadModel;
    type IntoFuture = BoxFuture<'static, ReadModel>;

    fn into_future(self) -> Self::IntoFuture {
        boxed(self.handled())
    }
}

fn boxed<F: Future + Send + 'static>(future: F) -> BoxFuture<'static, F::Output> {
    Box::pin(future)
}
