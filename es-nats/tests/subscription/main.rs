//! Following a store from elsewhere, through the stream that its relay fills.

#[path = "../support/mod.rs"]
mod support;

mod ahead;
mod endpoint;
mod events;
mod faults;
mod half;
mod log;
mod memory;
mod opening;
mod readers;
mod restored;
