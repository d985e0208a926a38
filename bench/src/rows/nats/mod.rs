//! Over NATS, against the client below used by hand.

mod command;
mod raw;
mod request;
mod subscription;

use super::super::rounds::Row;

/// The rows of this folder.
pub(super) fn rows() -> Vec<Box<dyn Row>> {
    let mut rows: Vec<Box<dyn Row>> = Vec::new();
    for clients in [1, 64, 256] {
        rows.push(Box::new(request::Requests::of(clients)));
    }
    rows.push(Box::new(command::Commands::of(64)));
    rows.push(Box::new(subscription::Subscriptions::default()));
    rows
}
