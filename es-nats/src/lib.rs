//! Moving a program from one process to many machines, over NATS: what changes is the wiring.
//!
//! ```no_run
//! # use es_core::{Client, EventStore, Result, Service};
//! use es_nats::{Nats, NatsServer, NatsTransport};
//!
//! # async fn wire(store: impl EventStore, accounts: impl Service) -> Result<()> {
//! let nats = Nats::connect("nats://127.0.0.1:4222").await?;
//!
//! // Where the store is: instead of `LocalBus::new().serve(accounts)`.
//! let serving = NatsServer::new(&nats, &store).serve(accounts).start().await?;
//!
//! // Anywhere: instead of `bus.transport()`, for any generated client.
//! let transport = NatsTransport::connect("nats://127.0.0.1:4222").await?;
//! # let _ = Client::new(transport);
//! # serving.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! A command has an id, and is sent again with it until there is an answer: it is carried out once, whatever is lost on
//! the way. A call goes to the subject `{package}.{Service}.{Method}`, with a tenant to
//! `tenant.{tenant}.{package}.{Service}.{Method}`, as an encoded message; its answer is an encoded
//! [`Response`](es_core::wire::Response). What it says beside its message are headers: `Message-Type`, `Command-ID`,
//! `Principal-ID`, `Correlation-ID`, `Causation-ID`, `traceparent`, and `Meta-{key}` for entries of the caller's own, key and
//! value percent-encoded.

mod addresses;
mod answer;
mod connection;
mod credentials;
mod envelope;
mod escape;
mod event_subject;
mod headers;
mod link;
mod options;
mod percent;
mod permissions;
mod relay;
mod server;
mod server_check;
mod store_endpoint;
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
