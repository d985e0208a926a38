//! All of it at once (commands, relay, subscription) while the network or a cluster fails: what was acknowledged is in the
//! store once, the stream is the store, the read model is what the store says.
//!
//! `TORTURE=long` takes minutes, `TORTURE_SEED` repeats one run.

#[path = "../support/mod.rs"]
mod support;

mod absence;
mod cluster;
mod memory;
mod partition;
mod programs;
mod proxy;
mod storm;
mod whole;
