//! What a server must be able to do.

use async_nats::Client;
use es_core::{Error, Result};

/// Older ones ignore all but one filter of a consumer, and let two writers pass one expected sequence.
const OLDEST: (i64, i64, i64) = (2, 10, 0);

/// Refuses a server that a guarantee would not hold on.
pub(crate) fn check(client: &Client) -> Result<()> {
    let info = client.server_info();
    let (major, minor, patch) = OLDEST;
    let refused = |why: String| Err(Error::Refused { by: "the start-up check".into(), why });
    if !client.is_server_compatible(major, minor, patch) {
        return refused(format!(
            "this NATS server is version {}; versions before {major}.{minor} ignore consumer filters and break optimistic \
             concurrency without saying so: update the server to {major}.{minor} or later",
            info.version
        ));
    }
    if !info.headers {
        return refused("this NATS server has headers switched off (no_header_support): switch them on".into());
    }
    Ok(())
}
