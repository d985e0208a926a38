//! What follows from events: commands, sent when something has happened.

mod builder;
mod commands;
mod reacting;

use std::{fmt, sync::Arc};

use self::reacting::Reacting;
pub use self::{
    builder::{ReactorBuilder, StartFrom},
    commands::{Commands, Rejection},
};
use crate::{EventLog, Progress, Result, Subscriber, Transport, handling::Handling, store::BoxFuture};

/// Reacts to events by sending commands: a process manager, a saga, a notifier.
///
/// Each event is handled **at least once**, and each command it causes is carried out once: a command sent over the
/// [`Commands`] that a hook is given has an id made from the reactor, the event, the method, and what it says. A hook
/// that runs again sends the same ids, and is answered from the record. So make what you send from the event and its
/// meta alone; a time or a random number of the moment would make it another command.
///
/// ```
/// # use es_core::{Event, HookBuilder, LocalBus, MemoryStore, MethodInfo, Reactor, Runner, StartFrom, Transport};
/// # struct PaymentCommandServiceClient(es_core::Client);
/// # static METHOD: MethodInfo = MethodInfo { service: "s", name: "m", input: "i", output: "o" };
/// # impl PaymentCommandServiceClient {
/// #     fn new(transport: impl Transport) -> Self { Self(es_core::Client::new(transport)) }
/// #     fn initialize(&self, command: ()) -> es_core::Call<()> { self.0.command(&METHOD, command) }
/// # }
/// # async fn example<OrderPlaced: Event>(store: MemoryStore, bus: LocalBus) -> es_core::Result<()> {
/// let payments = Reactor::builder("payments", bus.transport(), StartFrom::Now)
///     // Generated code has a method for each event: `.on_order_placed(async |commands, event, meta| ..)`
///     .on::<OrderPlaced, _>(async |commands, event, meta| {
///         # let _ = (event, meta);
///         # let command = ();
///         PaymentCommandServiceClient::new(commands).initialize(command).await?;
///         Ok(())
///     })
///     .build(&store)
///     .await?;
/// let running = Runner::new(store).run(payments).start()?;
/// # running.shutdown().await;
/// # Ok(()) }
/// ```
///
/// # A process manager with state of its own
/// A process manager is an aggregate whose events record what it has seen and what it has sent. A hook lets it decide,
/// then sends what it decided. The decision notes which event it is because of, so that it stays the same when the hook
/// runs again, after a crash in between too:
///
/// ```
/// # use es_core::{Aggregate, Applier, EventOf, Root, event_applier, EventSet};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)] struct PaymentSeen {}
/// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)] struct BonusAsked { because_of: u64 }
/// # #[derive(Clone, Debug, PartialEq, EventSet)]
/// # #[events(package = "doc.v1")]
/// # enum WelcomeEvent { PaymentSeen(PaymentSeen), BonusAsked(BonusAsked) }
/// # #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Aggregate)]
/// # #[aggregate(event = WelcomeEvent, type = "doc.v1.Welcome", snapshot = serde)]
/// # struct Welcome { opened: bool, paid: bool, asked_because_of: Option<u64> }
/// # #[event_applier]
/// # impl Welcome {
/// #     fn payment_seen(&mut self, _: &PaymentSeen) { self.paid = true; }
/// #     fn bonus_asked(&mut self, event: &BonusAsked) { self.asked_because_of = Some(event.because_of); }
/// # }
/// fn saw_payment(welcome: &mut Root<Welcome>, position: u64) -> bool {
///     if !welcome.paid {
///         welcome.emit(PaymentSeen {});
///     }
///     if welcome.opened && welcome.asked_because_of.is_none() {
///         welcome.emit(BonusAsked { because_of: position });
///     }
///     welcome.asked_because_of == Some(position)
/// }
/// ```
///
/// In the hook: `if welcomes.execute(id, |welcome| Ok(saw_payment(welcome, meta.position))).await?.into_inner() { .. }`,
/// and the command is sent. The whole of it, tested, is `tests/process_manager.rs` of this crate. What is to happen when
/// nothing is seen for long is [scheduled](crate::Schedule::at), and cancelled when it is.
///
/// # When a command is not carried out
/// While nobody can be reached, or no answer comes, a runner tries again, with a pause that doubles from 10 ms to 5 s,
/// under the same command id. A refusal of the domain goes to [`on_rejected`](ReactorBuilder::on_rejected); without that,
/// the reactor stops with [`ProjectionFaulted`](crate::Error::ProjectionFaulted), right before the event's commit. So it
/// does after any other error of a hook, which is tried again a [few times](ReactorBuilder::retries) first.
///
/// It also stops at an event that the program does not know, of an aggregate whose other events it has generated hooks
/// for: a newer program recorded it. Update the program, or [`ignore`](ReactorBuilder::ignore) the event.
///
/// # When it was down for long
/// Answers to commands are kept for 7 days. A reactor that stopped amid a page, and finds that longer ago than that,
/// stops with [`SendingUnfinished`](crate::Error::SendingUnfinished) instead of having commands carried out twice:
/// [`send_again`](Self::send_again) allows that, and [`Running::resume`](crate::Running::resume) has a runner try again.
///
/// # When the store is restored
/// Restored to an older state, the store lacks events that the reactor may have seen. Where its checkpoint lies beyond
/// that state, it stops with [`StoreRestored`](crate::Error::StoreRestored), and
/// [`go_on_from_restore`](Self::go_on_from_restore) lets it go on. A checkpoint in the store itself comes back with it:
/// then the reactor goes on by itself, and what it has sent to others for events that are gone is theirs to know.
///
/// # Not made again
/// A reactor is no [`Rebuild`](crate::Rebuild): what it has sent stays sent.
///
/// ```compile_fail,E0277
/// # async fn example(running: es_core::Running, payments: es_core::Reactor) {
/// running.rebuild(&payments).await;
/// # }
/// ```
#[derive(Clone)]
pub struct Reactor(Arc<Handling<Reacting>>);

impl Reactor {
    /// Starts building a reactor that sends its commands over a transport. Its checkpoint is stored under its name, and
    /// its command ids are made from it, so the name must stay the same and be unique among all that follow the store.
    ///
    /// Where it starts matters once, when it is first built; later it goes on from its checkpoint.
    pub fn builder(name: impl Into<String>, transport: impl Transport, start: StartFrom) -> ReactorBuilder {
        ReactorBuilder::new(name.into(), Arc::new(transport), start)
    }

    /// Lets it go on after [`SendingUnfinished`](crate::Error::SendingUnfinished): the commands of the page that was not
    /// finished will be sent again, and those that were carried out longer ago than answers are kept are carried out
    /// again. A runner has stopped it by then, and does so when it is told to
    /// [`resume`](crate::Running::resume) the reactor.
    ///
    /// ```
    /// # use es_core::{Reactor, Result, Running};
    /// # async fn example(running: Running, payments: Reactor) -> Result<()> {
    /// payments.send_again().await?;
    /// running.resume("payments")?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`CheckpointMoved`](crate::Error::CheckpointMoved) when another process has the reactor, or what the storage
    /// reports.
    pub async fn send_again(&self) -> Result<()> {
        self.0.forget_sending().await
    }

    /// Lets it go on after [`StoreRestored`](crate::Error::StoreRestored), with the events after the state to which the
    /// store was restored. The commands it has sent for events that are gone were carried out: set right first what came
    /// of them. A runner that has stopped it has it go on when it is told to [`resume`](crate::Running::resume) it.
    ///
    /// Commands for the events that took their places get ids of their own.
    ///
    /// # Errors
    /// [`StoreIdentityChanged`](crate::Error::StoreIdentityChanged) or [`EpochUnknown`](crate::Error::EpochUnknown) when it
    /// follows another log than this, [`CheckpointMoved`](crate::Error::CheckpointMoved) when another process has the reactor, or what the storage
    /// reports.
    pub async fn go_on_from_restore(&self, log: &dyn EventLog) -> Result<()> {
        self.0.go_on_from_restore(log).await
    }
}

impl Subscriber for Reactor {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn partitions(&self) -> u32 {
        self.0.partitions()
    }

    fn checkpoint(&self, partition: u32) -> BoxFuture<'_, Result<u64>> {
        Box::pin(self.0.checkpoint(partition))
    }

    fn advance<'a>(&'a self, store: &'a dyn EventLog, partition: u32) -> BoxFuture<'a, Result<Progress>> {
        Box::pin(self.0.advance(store, partition))
    }

    fn give_back(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.give_back())
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reactor").field(&self.0).finish()
    }
}
