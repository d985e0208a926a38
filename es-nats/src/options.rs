//! How to reach a NATS server.

use std::fmt;

/// Where the servers are, and who we are to them.
#[derive(Clone)]
pub struct NatsOptions {
    pub(crate) servers: String,
}

impl NatsOptions {
    /// The servers of a URL, or of several, separated by commas: `nats://127.0.0.1:4222`.
    pub fn new(servers: impl Into<String>) -> Self {
        Self { servers: servers.into() }
    }
}

impl From<&str> for NatsOptions {
    fn from(servers: &str) -> Self {
        Self::new(servers)
    }
}

impl From<String> for NatsOptions {
    fn from(servers: String) -> Self {
        Self::new(servers)
    }
}

impl fmt::Debug for NatsOptions {
    /// Without the servers: a URL may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsOptions").finish_non_exhaustive()
    }
}
