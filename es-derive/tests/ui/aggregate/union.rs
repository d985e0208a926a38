use es_core::{Aggregate, EventSet};

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct AccountOpened;

#[derive(Clone, Debug, EventSet)]
#[events(package = "bank.v1")]
enum AccountEvent {
    AccountOpened(AccountOpened),
}

#[derive(Aggregate)]
#[aggregate(event = AccountEvent, type = "bank.v1.Account")]
union Account {
    cents: i64,
    euros: i64,
}

fn main() {}
