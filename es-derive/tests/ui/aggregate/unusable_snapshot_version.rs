use es_core::{Aggregate, EventSet};

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct AccountOpened;

#[derive(Clone, Debug, EventSet)]
#[events(package = "bank.v1")]
enum AccountEvent {
    AccountOpened(AccountOpened),
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize, Aggregate)]
#[aggregate(event = AccountEvent, type = "bank.v1.Zero", snapshot = serde, snapshot_version = 0)]
struct Zero {
    cents: i64,
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize, Aggregate)]
#[aggregate(event = AccountEvent, type = "bank.v1.Text", snapshot = serde, snapshot_version = "2")]
struct Text {
    cents: i64,
}

fn main() {}
