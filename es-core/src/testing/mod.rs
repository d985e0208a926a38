//! Tests of a domain and of stores.
//!
//! A decision is tested as *given* these events, *when* this command, *then* these events or this refusal, over the
//! real appliers and the real handler; nothing is mocked and no server runs. A [reactor](reactor()) is tested as *given*
//! these events, *then* these commands. Read models in SQL are tested with `es_sqlite::testing`.

pub mod conformance;
mod given;
mod history;
mod reactor;
mod sent;

pub use self::{
    given::{Decided, Given, given},
    history::History,
    reactor::{GivenEvents, Reacted, reactor},
    sent::{Sent, SentRequest},
};
