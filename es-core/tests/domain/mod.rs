//! A bank in plain Rust, as a user writes it who has no proto for it.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use es_core::{Aggregate, EventSet, event_applier};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    pub owner: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deposited {
    pub cents: i64,
}

/// Its handler panics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cursed {}

#[derive(Clone, Debug, PartialEq, EventSet)]
#[events(package = "test.v1")]
pub enum AccountEvent {
    Opened(Opened),
    Deposited(Deposited),
    Cursed(Cursed),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Aggregate)]
#[aggregate(event = AccountEvent, type = "test.v1.Account", snapshot = serde)]
pub struct Account {
    pub owner: String,
    pub cents: i64,
}

#[event_applier]
impl Account {
    fn opened(&mut self, event: &Opened) {
        self.owner.clone_from(&event.owner);
    }

    fn deposited(&mut self, event: &Deposited) {
        self.cents += event.cents;
    }

    fn cursed(&mut self, _: &Cursed) {
        panic!("a handler that panics, on purpose");
    }
}

pub fn opened(owner: &str) -> Opened {
    Opened { owner: owner.into() }
}

pub fn deposited(cents: i64) -> Deposited {
    Deposited { cents }
}
