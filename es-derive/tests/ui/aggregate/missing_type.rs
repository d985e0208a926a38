use es_core::{Aggregate, EventSet};

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct AccountOpened;

#[derive(Clone, Debug, EventSet)]
#[events(package = "bank.v1")]
enum AccountEvent {
    AccountOpened(AccountOpened),
}

#[derive(Clone, Debug, Default, Aggregate)]
#[aggregate(event = AccountEvent)]
struct Account {
    cents: i64,
}

fn takes_aggregates(_: impl Aggregate) {}

fn uses_of_the_aggregate_are_no_mistake() {
    takes_aggregates(Account::default());
}

fn main() {}
