//! The same program across machines, over [NATS](https://nats.io).
//!
//! In one process, generated clients reach generated servers over a [`LocalBus`](es_core::LocalBus), and projections
//! follow the store. Spread over several, only the wiring changes:
//!
//! | in one process | over NATS | |
//! |---|---|---|
//! | `LocalBus::new().serve(..)` | [`NatsServer`] | services in a queue group, `$SRV.PING/INFO/STATS` answered |
//! | `bus.transport()` | [`NatsTransport`] | what generated clients send over |
//! | | [`Relay`] | publishes the store's events to a stream of JetStream, in order, each once |
//! | `Runner::new(store)` | `Runner::new(`[`Subscription`]`)` | projections and reactors that follow that stream |
//! | | [`Permissions`] | writes the users of a NATS server, each with no more rights than its work needs |
//!
//! It takes a NATS server of 2.10 or newer with JetStream switched on: `nats-server -js`.
//!
//! ```no_run
//! # use es_core::{CheckpointStore, EventStore, LocalBus, Result, Runner, Subscriber};
//! use es_nats::{Nats, NatsServer, NatsTransport, Relay, Subscription};
//!
//! // The program with the store serves the bus it has, and publishes its events.
//! # async fn serve<S: EventStore + CheckpointStore + Clone>(store: S, bus: LocalBus) -> Result<()> {
//! let nats = Nats::connect_when_there("nats://127.0.0.1").await?;
//! let serving = NatsServer::new(&nats, &store).bus(&bus).start().await?;
//! let relay = Relay::builder(&nats).stream("bank").build(&store).await?;
//! let relaying = Runner::new(store).run(relay).start()?;
//! serving.wait().await?; // until its requests no longer reach it, and then it says why
//! # serving.shutdown().await; relaying.shutdown().await; Ok(()) }
//!
//! // A client anywhere: AccountCommandServiceClient::new(transport)
//! # async fn call() -> Result<()> {
//! let transport = NatsTransport::connect("nats://127.0.0.1").await?;
//! # drop(transport); Ok(()) }
//!
//! // A read model anywhere: SqliteProjection::builder(..)…build_over("balances.db", log.clone())?
//! # async fn project(projection: impl Subscriber) -> Result<()> {
//! let nats = Nats::connect_when_there("nats://127.0.0.1").await?;
//! let log = Subscription::open_when_there(&nats, "bank").await?;
//! let running = Runner::new(log).run(projection).start()?;
//! # running.shutdown().await; Ok(()) }
//! ```
//!
//! # What is promised
//! - **A command is carried out once.** Every command has an id, minted where none was given. An answer that does not
//!   come is asked for again under the same id, and what was done is answered from the record. What stays unknown is
//!   [`OutcomeUnknown`](es_core::Error::OutcomeUnknown), with the id.
//! - **The store is the truth, the stream a copy.** A stream that lost its end is filled again; one that was deleted, or
//!   has other events than the store, is a stated fault, and nothing is overwritten.
//! - **A reader handles each event once, in order.** Its checkpoint is in its own database; what the stream lost, or was
//!   too large for it, is fetched from the store.
//! - **A connection heals.** It is made again when it is lost, when it has ended for good, and when a right that was taken
//!   away is given back; everything that shares it goes on.
//! - **One store behind a subject.** A server refuses to serve beside members that work on another store.
//! - **No password in plain text over a network** unless [asked for by name](NatsOptions::dangerous_plaintext), and none
//!   in `Debug`, errors or logs.
//!
//! Servers below 2.10 are refused: they break the order of events in ways that can't be seen.
//!
//! # When something is wrong
//! What is waited for and what has stopped is logged with [`tracing`], as warnings and errors. Without a subscriber that is
//! lost: call `tracing_subscriber::fmt().init()`, or what your program uses, first in `main`.
//!
//! Four places tell how a program does:
//!
//! | ask | it tells |
//! |---|---|
//! | [`Serving::wait`], [`Serving::state`] | whether calls reach the services, and why not |
//! | [`Running::changes`](es_core::Running::changes)`("relay:bank")` | whether events are published. In the state [`Faulted`](es_core::runner::State::Faulted) they are not, until someone acts: see [`Relay`] |
//! | [`Relay::status`] | what the relay waits for, as a text; and whether readers can ask it for what the stream lacks |
//! | [`Running::changes`](es_core::Running::changes) of each projection | how far behind it is; in the state `Faulted`, why it has stopped |
//!
//! A call fails at once, or waits: see [`NatsTransport`]. A relay and a subscription wait for a server that is away, and
//! for JetStream where it is switched off; the reason is in the log.
//!
//! On a cluster, name all servers in the URL ([`NatsOptions::new`]), and keep the stream on three
//! ([`RelayBuilder::replicas`]). A stream is kept on one unless that is said, and away for as long as that one is.
//!
#![doc = include_str!("docs/another-language.md")]

mod addresses;
mod answer;
mod connect;
mod connection;
mod credentials;
mod envelope;
mod errors;
mod escape;
mod event_subject;
mod headers;
mod healing;
mod later;
mod link;
mod options;
mod patience;
mod percent;
mod permissions;
mod pool;
mod relay;
mod server;
mod server_check;
mod store_endpoint;
mod stored_event;
mod subject;
mod subscription;
mod transport;

pub use connection::Nats;
pub use envelope::{Content, Envelope};
pub use options::NatsOptions;
pub use permissions::Permissions;
pub use relay::{Relay, RelayBuilder, RelayStatus, Verified};
pub use server::{NatsServer, Serving, ServingState};
pub use subscription::Subscription;
pub use transport::NatsTransport;
