// The bank that the tests of `#[event_applier]` stand on.

use es_core::{Aggregate, EventSet};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccountOpened {
    pub owner: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MoneyDeposited {
    pub cents: i64,
}

#[derive(Clone, Debug, EventSet)]
#[events(package = "bank.v1")]
pub enum AccountEvent {
    AccountOpened(AccountOpened),
    MoneyDeposited(MoneyDeposited),
}

#[derive(Clone, Debug, Default, Aggregate)]
#[aggregate(event = AccountEvent, type = "bank.v1.Account")]
pub struct Account {
    pub owner: String,
    pub cents: i64,
}
