//! Moving a program from one process to many machines, over NATS.

mod connection;
mod escape;
mod options;

pub use connection::Nats;
pub use options::NatsOptions;
