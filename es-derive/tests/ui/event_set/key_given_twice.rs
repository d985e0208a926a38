use es_core::EventSet;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct AccountOpened;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct MoneyDeposited;

#[derive(Clone, Debug, EventSet)]
#[events(package = "bank.v1", package = "bank.v2")]
enum AccountEvent {
    #[event(version = 2, version = 3)]
    AccountOpened(AccountOpened),
    MoneyDeposited(MoneyDeposited),
}

fn main() {}
