//! Tests of a domain and of stores.
//!
//! A decision is tested as *given* these events, *when* this command, *then* these events or this refusal, over the
//! real appliers and the real handler; nothing is mocked and no server runs.

pub mod conformance;
mod given;

pub use given::{Decided, Given, given};
