//! Real servers for tests, benches and examples.
//!
//! [`NatsServer`] runs a nats-server as a child of the test: a port and a folder of its own, and it ends with the test, even
//! with one that is killed. Nothing has to be installed: [`NatsVersion`] says where the binary comes from.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), test_servers::Error> {
//! use test_servers::NatsServer;
//!
//! let mut server = NatsServer::start().await?;
//! println!("{}", server.url());
//! server.kill();
//! server.restart().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`NatsCluster`] is several of them, [`Proxy`] a network with faults in front of one, [`Certificates`] are good and bad ones
//! for TLS, and [`Python`] runs clients that know nothing of this project.
//!
//! Unix only: the faults are signals.

mod binary;
mod cache;
mod cluster;
mod error;
mod guarded;
mod monitor;
mod ports;
mod proxy;
mod python;
mod server;
mod tls;

pub use binary::NatsVersion;
pub use cluster::NatsCluster;
pub use error::Error;
pub use proxy::{Proxy, Way};
pub use python::Python;
pub use server::{NatsServer, NatsServerBuilder};
pub use tls::{Certificates, Demand, Identity};
