use es_core::EventSet;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct AccountOpened;

#[derive(Clone, Debug, EventSet)]
#[events(package = "bank.v1")]
enum AccountEvent {
    AccountOpened(AccountOpened),
}

fn main() {}
