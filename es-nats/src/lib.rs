//! Moving a program from one process to many machines, over NATS.

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
pub use relay::{Relay, RelayBuilder, RelayStatus, Verified};
pub use server::{NatsServer, Serving, ServingState};
pub use subscription::Subscription;
pub use transport::NatsTransport;
