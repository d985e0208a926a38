//! Moving a program from one process to many machines, over NATS.

mod addresses;
mod answer;
mod connection;
mod credentials;
mod escape;
mod headers;
mod link;
mod options;
mod percent;
mod server;
mod server_check;
mod subject;
mod transport;

pub use connection::Nats;
pub use options::NatsOptions;
pub use server::{NatsServer, Serving, ServingState};
pub use transport::NatsTransport;
