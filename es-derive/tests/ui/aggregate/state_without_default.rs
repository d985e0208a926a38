use es_core::{Aggregate, EventSet};

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct AccountOpened;

#[derive(Clone, Debug, EventSet)]
#[events(package = "bank.v1")]
enum AccountEvent {
    AccountOpened(AccountOpened),
}

#[derive(Clone, Debug, Aggregate)]
#[aggregate(event = AccountEvent, type = "bank.v1.Account")]
struct Account {
    cents: i64,
}

fn main() {}
