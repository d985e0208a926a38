//! Orders and payments: two aggregates, each with rules of its own, and reactors that carry news from one to the other.

pub mod order;
pub mod payment;
pub mod read_models;

es_core::include_protos!();
