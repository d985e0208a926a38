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
//!
//! ```no_run
//! # use es_core::{CheckpointStore, EventStore, LocalBus, Result, Runner, Subscriber};
//! use es_nats::{Nats, NatsServer, NatsTransport, Relay, Subscription};
//!
//! // The program with the store serves the bus it has, and publishes its events.
//! # async fn serve<S: EventStore + CheckpointStore + Clone>(store: S, bus: LocalBus) -> Result<()> {
//! let nats = Nats::connect("nats://127.0.0.1").await?;
//! let serving = NatsServer::new(&nats, &store).bus(&bus).start().await?;
//! let relay = Relay::builder(&nats).stream("bank").build(&store).await?;
//! let relaying = Runner::new(store).run(relay).start()?;
//! # serving.shutdown().await; relaying.shutdown().await; Ok(()) }
//!
//! // A client anywhere: AccountCommandServiceClient::new(transport)
//! # async fn call() -> Result<()> {
//! let transport = NatsTransport::connect("nats://127.0.0.1").await?;
//! # drop(transport); Ok(()) }
//!
//! // A read model anywhere: SqliteProjection::builder(..)…build_over("balances.db", log.clone())?
//! # async fn project(projection: impl Subscriber) -> Result<()> {
//! let log = Subscription::open(&Nats::connect("nats://127.0.0.1").await?, "bank").await?;
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
