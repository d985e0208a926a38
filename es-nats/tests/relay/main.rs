//! Relays over real servers, from real stores. `TORTURE=long` makes the faults last longer.

mod cluster;
mod diverged;
mod faults;
mod large;
mod order;
mod processes;
mod several;
#[path = "../support/mod.rs"]
mod support;
