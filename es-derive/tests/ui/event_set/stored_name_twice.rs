use es_core::EventSet;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct AccountOpened;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct MoneyDeposited;

#[derive(Clone, Debug, EventSet)]
#[events(package = "bank.v1")]
enum AccountEvent {
    #[event(aliases("bank.v1.Opened", "bank.v1.AccountOpened"))]
    AccountOpened(AccountOpened),
    #[event(aliases("bank.v1.Opened"))]
    MoneyDeposited(MoneyDeposited),
}

fn main() {}
