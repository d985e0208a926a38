//! Given events, then commands.

use std::{future::IntoFuture, sync::Arc};

use super::{History, Sent, SentRequest, sent::once_each};
use crate::{
    Aggregate, Call, EventLog, Limits, ManualClock, MemoryStore, Reactor, ReactorBuilder, Result, Subscriber,
    store::BoxFuture,
};

/// Pages after which a reactor counts as one that reacts to itself for ever.
const PAGES: usize = 10_000;

/// Begins a test of a reactor: say which events are [given](GivenEvents::given), and await it.
///
/// ```
/// # use es_core::{Aggregate, Call, EventOf, Reactor, ReactorBuilder, StartFrom, Transport};
/// use es_core::testing::{Sent, reactor};
///
/// # fn payments(transport: impl Transport) -> ReactorBuilder { Reactor::builder("payments", transport, StartFrom::Now) }
/// # async fn test<Order: Aggregate, O: EventOf<Order::Event>>(order_placed: O, initialize: Call<()>) {
/// reactor(Sent::accepting(), |sent| payments(sent)) // fn payments(transport: impl Transport) -> ReactorBuilder
///     .given::<Order>("order-1", [order_placed])
///     .await
///     .then_sends(initialize) // client.initialize(InitializeCommand { .. }), not awaited
///     .then_sends_nothing_more()
///     .then_replay_sends_the_same()
///     .await;
/// # }
/// ```
///
/// `build` is given the transport that the commands go over; who answers them is said by the [`Sent`]. It follows a
/// store of its own: what a real service records in answer to a command is not among its events.
pub fn reactor(sent: Sent, build: impl FnOnce(Sent) -> ReactorBuilder) -> GivenEvents {
    let reactor = Of::New(Box::new(build(sent.clone())), sent);
    GivenEvents { reactor, history: History::default() }
}

/// Events for a reactor; awaited, they are stored and reacted to.
///
/// # Panics
/// Like everything here, when the test is wrong: an id that is none, events that can't be stored, a reactor that can't
/// be built. And when the reactor stops at an event.
#[derive(Debug)]
#[must_use = "a test that is not awaited tests nothing"]
pub struct GivenEvents {
    reactor: Of,
    history: History,
}

#[derive(Debug)]
enum Of {
    New(Box<ReactorBuilder>, Sent),
    Made(Box<Reacted>),
}

impl GivenEvents {
    crate::__given_history!();

    async fn reacted(self) -> Reacted {
        let reacted = match self.reactor {
            Of::New(builder, sent) => Reacted::make(*builder, sent).await,
            Of::Made(reacted) => *reacted,
        };
        self.history.record(&reacted.store, &reacted.clock).await;
        reacted.catch_up().await;
        reacted
    }
}

impl IntoFuture for GivenEvents {
    type Output = Reacted;
    type IntoFuture = BoxFuture<'static, Reacted>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.reacted())
    }
}

/// A reactor that has reacted to all events that were given; say what you expect it to have sent.
#[derive(Debug)]
pub struct Reacted {
    reactor: Reactor,
    store: MemoryStore,
    clock: Arc<ManualClock>,
    sent: Sent,
    /// Commands that were looked at.
    seen: usize,
}

impl Reacted {
    async fn make(builder: ReactorBuilder, sent: Sent) -> Self {
        let clock = Arc::new(ManualClock::at(History::BEGINNING));
        let store = MemoryStore::with(Limits::default(), Arc::clone(&clock));
        let reactor = builder.build(&store).await.expect("a reactor that can be built");
        Self { reactor, store, clock, sent, seen: 0 }
    }

    /// The next command that was sent is this call: the same method and message.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn then_sends<C>(mut self, call: Call<C>) -> Self {
        let expected = SentRequest::from(call.into_request().expect("a call that can be made"));
        let Some(sent) = self.sent.commands().into_iter().nth(self.seen) else {
            panic!("{} was expected, and nothing more was sent", expected.route())
        };
        let number = self.seen + 1;
        assert_eq!(sent.route(), expected.route(), "the method of command {number}");
        let text = |request: &SentRequest| request.body.escape_ascii().to_string();
        assert_eq!(text(&sent), text(&expected), "the encoded message of command {number}, {}", sent.route());
        self.seen += 1;
        self
    }

    /// Nothing was sent beside what was looked at.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn then_sends_nothing_more(self) -> Self {
        if let Some(sent) = self.sent.commands().get(self.seen) {
            panic!("nothing more was expected, sent was {}: {:?}", sent.route(), **sent);
        }
        self
    }

    /// Has the reactor handle all events again, as after a crash before its checkpoint was moved: it sends the same
    /// commands under the same ids, so that none is carried out twice.
    ///
    /// This finds a hook that makes a command from something else than the event: a clock, a random number, a counter.
    ///
    /// # Panics
    /// Otherwise, with the first command that is another one.
    pub async fn then_replay_sends_the_same(self) -> Self {
        let before = self.sent.commands();
        let requests = self.sent.requests().len();
        self.store.rewind(self.reactor.name());
        self.catch_up().await;
        let again = once_each(self.sent.requests().split_off(requests));
        let lacks =
            |commands: &[SentRequest], command: &SentRequest| !commands.iter().any(|other| same(other, command));
        let lost = before.iter().find(|command| lacks(&again, command));
        let new = again.iter().find(|command| lacks(&before, command));
        if lost.is_some() || new.is_some() {
            let [lost, new] = [lost, new].map(|command| command.map_or_else(|| "nothing".into(), in_words));
            panic!(
                "replayed, the reactor sends other commands\n  before: {lost}\n  replayed: {new}\n\
                 what it sends must follow from the event and its meta alone, and not from a clock, a random number or \
                 something the program keeps"
            );
        }
        self
    }

    /// More has happened to an aggregate, after what was looked at.
    #[track_caller]
    pub fn given<A: Aggregate>(self, id: &str, events: impl IntoIterator<Item = impl Into<A::Event>>) -> GivenEvents {
        let reactor = Of::Made(Box::new(self));
        GivenEvents { reactor, history: History::default() }.given::<A>(id, events)
    }

    /// What was sent.
    pub fn sent(&self) -> &Sent {
        &self.sent
    }

    /// The reactor, for everything else.
    pub fn reactor(&self) -> &Reactor {
        &self.reactor
    }

    async fn catch_up(&self) {
        let mut pages = 0;
        for partition in 0..self.reactor.partitions() {
            while !self.page(partition).await.expect("a reactor that handles what was given") {
                pages += 1;
                assert!(pages < PAGES, "`{}` does not come to an end", self.reactor.name());
            }
        }
    }

    /// Handles a page; whether it was the last. What is to be tried again is tried at once.
    async fn page(&self, partition: u32) -> Result<bool> {
        let progress = self.reactor.advance(&self.store, partition).await?;
        Ok(progress.caught_up && progress.checkpoint >= self.store.head().await?)
    }
}

fn same(one: &SentRequest, other: &SentRequest) -> bool {
    one.command_id == other.command_id && one.route() == other.route() && one.body == other.body
}

fn in_words(command: &SentRequest) -> String {
    format!("{} with id {}: {}", command.route(), command.id(), command.body.escape_ascii())
}
