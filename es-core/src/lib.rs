//! Event sourcing and CQRS: what a domain needs, without I/O.
//!
//! Events are facts, kept permanently in [streams](StreamKey), one stream per [aggregate](Aggregate). An aggregate's state
//! is folded from its events; a command is decided on that state and answered with new events. Most programs have
//! es-build generate the types below from an annotated `.proto` file, with a typed server and client for each service;
//! this is what they come down to (events in plain Rust need the feature `serde`):
//!
//! ```
//! use es_core::{Aggregate, AppError, EventSet, MemoryStore, Repository, ensure, event_applier};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
//! struct Deposited { cents: i64 }
//! #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
//! struct Withdrawn { cents: i64 }
//!
//! #[derive(Clone, Debug, PartialEq, EventSet)]
//! #[events(package = "bank.v1")]
//! enum AccountEvent { Deposited(Deposited), Withdrawn(Withdrawn) }
//!
//! #[derive(Clone, Debug, Default, Aggregate)]
//! #[aggregate(event = AccountEvent, type = "bank.v1.Account")]
//! struct Account { cents: i64 }
//!
//! #[event_applier] // one method per event; a missing one does not compile
//! impl Account {
//!     fn deposited(&mut self, event: &Deposited) { self.cents += event.cents; }
//!     fn withdrawn(&mut self, event: &Withdrawn) { self.cents -= event.cents; }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> es_core::Result<()> {
//! let accounts = Repository::<Account>::new(MemoryStore::new()); // or SqliteStore::open("bank.db").await?
//! let withdraw = |cents| move |account: &mut es_core::Root<Account>| {
//!     ensure!(account.cents >= cents, AppError::failed_precondition("INSUFFICIENT_FUNDS", "the balance is too low"));
//!     account.emit(Withdrawn { cents });
//!     Ok(account.cents)
//! };
//! accounts.execute("acc-1", |account| { account.emit(Deposited { cents: 500 }); Ok(()) }).await?;
//! let reply = accounts.execute("acc-1", withdraw(200)).await?;
//! assert_eq!((*reply, reply.receipt().version), (300, 2));
//! assert!(accounts.execute("acc-1", withdraw(1_000)).await.is_err());
//! # Ok(()) }
//! ```
//!
//! | to | see |
//! |---|---|
//! | write a domain | [`event_applier`](macro@event_applier), [`Root`], [`CommandContext`], [`AppError`], [`ensure!`], [`testing`] |
//! | load and save | [`Repository`], [`At`], [`SnapshotPolicy`] |
//! | serve and call | [`LocalBus`], [`Service`], [`Transport`], [`Call`], [`Reply`], [`Receipt`] |
//! | send later | [`CommandContext::schedule`], [`Schedule`], [`Deliveries`], [`Runner::deliver`] |
//! | project | [`Runner`], [`Projection`], [`HookBuilder`], [`Subscriber`], [`Rebuild`] |
//! | react | [`Reactor`], [`Commands`], [`StartFrom`] |
//! | store | [`EventStore`], [`EventLog`], [`Commit`], [`Expected`], [`MemoryStore`], [`testing::conformance`] |
//! | handle errors | [`Error`], [`Retry`] |

mod aggregate;
mod app_error;
mod backoff;
mod bus;
pub mod checkpoints;
mod client;
#[doc(hidden)]
pub mod codegen;
mod command_call;
mod commit;
mod context;
mod decision;
mod deliveries;
mod epoch;
pub mod error;
mod event;
mod event_meta;
mod filter;
mod guard;
mod handling;
mod hooks;
mod hot_roots;
mod id;
mod limits;
mod load;
mod log;
mod macros;
mod memory;
mod metadata;
mod partition;
pub mod projection;
mod reactor;
mod rebuild;
mod receipt;
mod receive;
mod recorded;
mod repository;
mod retry;
mod root;
pub mod runner;
mod runtime;
mod schedule;
mod snapshot;
pub mod store;
mod stream;
pub mod subscriber;
pub mod testing;
mod time;
mod transport;
mod unit_of_work;
pub mod wire;

#[cfg(feature = "serde")]
pub use es_derive::EventSet;
pub use es_derive::{Aggregate, event_applier};

/// The well-known types of protobuf, as generated messages have them.
pub use prost_types;

pub use aggregate::{Aggregate, Applier, ApplyTo, Handles};
pub use app_error::{AppError, DomainError, Status};
pub use bus::{LocalBus, LocalTransport, Route};
pub use checkpoints::CheckpointStore;
pub use client::{Call, Client, Query};
pub use command_call::{CommandCall, Target};
pub use commit::{
    Answer, Appended, ClaimChange, CommandRecord, Commit, Committed, NewEvent, Outcome, PayloadHash, StreamAppend,
};
pub use context::{CommandContext, Enlisted, QueryContext};
pub use deliveries::{Deliveries, Delivering};
pub use epoch::Epoch;
pub use error::{Error, Result, Retry};
pub use event::{Encoded, Encoding, Event, EventOf, EventSet, UpcastFrom};
pub use event_meta::{EventMeta, Origin};
pub use filter::{Filter, KnownTypes, Partition};
pub use guard::{guard, guard_call};
pub use handling::HookResult;
pub use hooks::{Hook, HookBuilder};
pub use id::{AggregateId, CommandId, MAX_ID_BYTES, ScheduleKey, Tenant};
pub use limits::Limits;
pub use load::At;
pub use log::{EventLog, StoreIdentity};
pub use memory::MemoryStore;
pub use metadata::Metadata;
pub use partition::partition_of;
pub use projection::{Projection, ProjectionBuilder};
pub use reactor::{Commands, Reactor, ReactorBuilder, Rejection, StartFrom};
pub use rebuild::{Rebuild, Rebuilding};
pub use receipt::{Receipt, Reply};
pub use receive::QueryCall;
pub use recorded::{Page, RecordedEvent, RecordedRef};
pub use repository::Repository;
pub use root::Root;
pub use runner::{Runner, Running};
pub use schedule::{Schedule, ScheduleChange, ScheduledCommand};
pub use snapshot::{Snapshot, SnapshotPolicy};
pub use store::EventStore;
pub use stream::{Expected, StreamKey};
pub use subscriber::{Progress, Subscriber};
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
pub use transport::{MethodInfo, Request, Response, Service, Transport};
