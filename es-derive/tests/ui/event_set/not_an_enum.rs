use es_core::EventSet;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct AccountOpened;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct MoneyDeposited;

#[derive(Clone, Debug, EventSet)]
#[events(package = "bank.v1")]
struct AccountEvent {
    opened: AccountOpened,
    deposited: MoneyDeposited,
}

fn main() {}
