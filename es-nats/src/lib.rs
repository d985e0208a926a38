//! Moving a program from one process to many machines, over NATS.

mod connection;
mod envelope;
mod escape;
mod event_subject;
mod options;
mod relay;
mod store_endpoint;
mod subscription;

pub use connection::Nats;
pub use envelope::{Content, Envelope};
pub use options::NatsOptions;
pub use relay::{Relay, RelayBuilder, RelayStatus, Verified};
pub use subscription::Subscription;
