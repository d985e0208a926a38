//! Free ports on the loopback interface.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Below the range that systems take for outgoing connections. A server that is restarted must get its port back, and in that
/// range a client that reconnects to the missing server could take it, or even connect to itself.
const RANGE: Range<u16> = 10_000..30_000;

/// A port that nothing listens on and that this process was not given before.
///
/// Another process may take it before it is used; whoever uses it tries again with another.
pub(crate) fn free() -> u16 {
    static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    loop {
        let port = fastrand::u16(RANGE);
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if free && GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return port;
        }
    }
}
