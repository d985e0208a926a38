//! Given events, when a command, then events or a refusal.

use std::{fmt::Debug, sync::Arc, time::Duration};

use crate::{
    Aggregate, AggregateId, AppError, Applier, Call, CommandContext, Commit, Encoded, Error, EventOf, EventSet,
    EventStore, Expected, Limits, ManualClock, MemoryStore, Metadata, NewEvent, Root, ScheduleChange, SnapshotPolicy,
    StreamAppend, StreamKey, Timestamp, context::Work, guard::guard, load,
};

/// Begins a test of one aggregate's decisions.
///
/// ```
/// # use es_core::{AppError, Applier, CommandContext, EventOf, Root, testing::given};
/// # async fn deposit<A: Applier, E: EventOf<A::Event>>(account: &mut Root<A>, event: E, _: &CommandContext)
/// # -> Result<(), AppError> { account.emit(event); Ok(()) }
/// # async fn test<A: Applier, E: EventOf<A::Event>, D: EventOf<A::Event>>(opened: E, deposited: D)
/// # where A::Event: PartialEq {
/// given::<A>("acc-1")
///     .event(opened)
///     .when(async |account, context| deposit(account, deposited.clone(), context).await)
///     .await
///     .then_events([deposited]);
/// # }
/// ```
///
/// # Panics
/// Like everything here, when the test is wrong: an id that is none, events that can't be stored.
#[track_caller]
pub fn given<A: Applier>(id: &str) -> Given<A> {
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_767_225_600_000_000)));
    Given {
        store: MemoryStore::with(Limits::default(), clock.clone()),
        clock,
        stream: StreamKey::of::<A>(AggregateId::new(id).expect("the aggregate's id")),
        histories: Vec::new(),
        metadata: Metadata::default(),
        aggregate: std::marker::PhantomData,
    }
}

/// What has happened before the command.
#[derive(Debug)]
#[must_use = "a test without `when` tests nothing"]
pub struct Given<A> {
    store: MemoryStore,
    clock: Arc<ManualClock>,
    stream: StreamKey,
    histories: Vec<(StreamKey, NewEvent)>,
    metadata: Metadata,
    aggregate: std::marker::PhantomData<fn() -> A>,
}

impl<A: Applier> Given<A> {
    /// The aggregate has this event.
    #[track_caller]
    pub fn event<E: EventOf<A::Event>>(self, event: E) -> Self {
        let stream = self.stream.clone();
        self.history::<A, E>(stream, event)
    }

    /// Another aggregate has this event; for commands that enlist it.
    #[track_caller]
    pub fn and<B: Aggregate, E: EventOf<B::Event>>(self, id: &str, event: E) -> Self {
        let stream = StreamKey::of::<B>(AggregateId::new(id).expect("the other aggregate's id"));
        self.history::<B, E>(stream, event)
    }

    /// The clock shows this instant. Default: 2026-01-01T00:00:00Z.
    pub fn at(self, now: Timestamp) -> Self {
        self.clock.set(now);
        self
    }

    /// The clock has moved on.
    pub fn after(self, elapsed: Duration) -> Self {
        self.clock.advance(elapsed);
        self
    }

    /// The command comes with this metadata.
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    #[track_caller]
    fn history<B: Aggregate, E: EventOf<B::Event>>(mut self, stream: StreamKey, event: E) -> Self {
        let event = NewEvent::encode::<B::Event>(&event.into()).expect("an event that can be encoded");
        self.histories.push((stream, event));
        self
    }

    /// Loads the aggregate from its events and lets a handler decide.
    ///
    /// The events go through their encoding and back, so a field that is not encoded shows here.
    pub async fn when<R>(
        self,
        decide: impl AsyncFnOnce(&mut Root<A>, &CommandContext) -> Result<R, AppError>,
    ) -> Decided<A, R> {
        for (stream, event) in self.histories {
            let commit = Commit::append(stream, Expected::Any, vec![event]);
            self.store.append(commit).await.expect("given events that can be stored");
        }
        let mut root = load::load::<A>(&self.store, self.stream.clone()).await.expect("given events that can be read");
        let context = CommandContext::new(
            Arc::new(self.store.clone()),
            self.stream,
            None,
            self.metadata,
            SnapshotPolicy::never(),
        );
        let answer = guard(decide(&mut root, &context)).await;
        let Work { enlisted, schedule } = context.into_work().expect("every enlisted aggregate given back");
        let others =
            enlisted.iter().map(|root| root.to_append().expect("emitted events that can be encoded")).collect();
        Decided { root, answer, others, schedule }
    }
}

/// What was decided; say what you expect of it.
#[derive(Debug)]
pub struct Decided<A: Aggregate, R> {
    root: Root<A>,
    answer: Result<Result<R, AppError>, Error>,
    others: Vec<StreamAppend>,
    schedule: Vec<ScheduleChange>,
}

impl<A: Aggregate, R: Debug> Decided<A, R> {
    /// The command was accepted and emitted exactly these events.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn then_events<E: Into<A::Event>>(self, expected: impl IntoIterator<Item = E>) -> Self
    where
        A::Event: PartialEq,
    {
        let _ = self.response();
        let expected: Vec<A::Event> = expected.into_iter().map(Into::into).collect();
        assert_eq!(self.root.emitted(), expected, "the emitted events");
        self
    }

    /// The command was accepted and emitted nothing.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn then_no_events(self) -> Self {
        let _ = self.response();
        assert!(self.root.emitted().is_empty(), "no event was expected, emitted were {:?}", self.root.emitted());
        self
    }

    /// The command emitted exactly these events on another aggregate.
    ///
    /// # Panics
    /// Otherwise, or when that aggregate was not enlisted.
    #[track_caller]
    pub fn then_events_of<B: Aggregate, E: Into<B::Event>>(
        self,
        id: &str,
        expected: impl IntoIterator<Item = E>,
    ) -> Self
    where
        B::Event: PartialEq,
    {
        let other = |append: &&StreamAppend| &*append.stream.stream_type == B::TYPE && append.stream.id.as_str() == id;
        let other = self.others.iter().find(other);
        let other = other.unwrap_or_else(|| panic!("`{}/{id}` was not enlisted", B::TYPE));
        let emitted: Vec<B::Event> = other.events.iter().map(decode).collect();
        let expected: Vec<B::Event> = expected.into_iter().map(Into::into).collect();
        assert_eq!(emitted, expected, "the events emitted on {}", other.stream);
        self
    }

    /// The command was accepted and scheduled this call: the same method and message, under this key, at this time.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn then_schedules<C>(self, key: &str, due: Timestamp, call: Call<C>) -> Self {
        let expected = call.into_request().expect("a call that can be made");
        let Some(ScheduleChange::Send(scheduled)) = self.scheduled(key) else {
            panic!("nothing is scheduled under `{key}`")
        };
        let request = scheduled.request();
        assert_eq!(
            (&request.service, &request.method, &request.body, scheduled.due()),
            (&expected.service, &expected.method, &expected.body, due),
            "service, method, message and time of the command scheduled under `{key}`"
        );
        self
    }

    /// The command was accepted and cancelled what is scheduled under this key.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn then_cancels(self, key: &str) -> Self {
        let change = self.scheduled(key);
        assert!(matches!(change, Some(ScheduleChange::Cancel(_))), "`{key}` was not cancelled: {change:?}");
        self
    }

    /// What became of a key: the last change to it.
    #[track_caller]
    fn scheduled(&self, key: &str) -> Option<&ScheduleChange> {
        let _ = self.response();
        self.schedule.iter().rfind(|change| change.key().as_str() == key)
    }

    /// The command was refused with this code, and nothing is stored. Returns the refusal.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn then_error(self, code: &str) -> AppError {
        match self.answer {
            Ok(Err(refusal)) => {
                assert_eq!(refusal.code(), code, "the refusal's code ({refusal})");
                refusal
            }
            Ok(Ok(response)) => panic!("the refusal {code} was expected, the command was accepted: {response:?}"),
            Err(error) => panic!("the refusal {code} was expected, but {error}"),
        }
    }

    /// The response of the accepted command.
    ///
    /// # Panics
    /// When it was refused.
    #[track_caller]
    pub fn response(&self) -> &R {
        match &self.answer {
            Ok(Ok(response)) => response,
            Ok(Err(refusal)) => panic!("the command was refused: {refusal}"),
            Err(error) => panic!("{error}"),
        }
    }

    /// The state after the command.
    pub fn state(&self) -> &A {
        self.root.state()
    }
}

#[track_caller]
fn decode<S: EventSet>(event: &NewEvent) -> S {
    let NewEvent { event_type, schema_version, encoding, payload, .. } = event;
    S::decode(Encoded { event_type, schema_version: *schema_version, encoding: *encoding, payload })
        .expect("an event that was just encoded")
}
