use es_core::EventSet;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct AccountOpened;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct MoneyDeposited;

#[derive(Clone, Debug, EventSet)]
#[events(package = "bank.v1", encoding = "json")]
enum AccountEvent {
    #[event(schema = 2)]
    AccountOpened(AccountOpened),
    MoneyDeposited(MoneyDeposited),
}

fn main() {}
