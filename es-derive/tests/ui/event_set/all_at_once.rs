use es_core::EventSet;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct AccountOpened;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct MoneyDeposited;

#[derive(Clone, Debug, EventSet)]
#[events(package = "bank.v1", encoding = "json")]
enum AccountEvent {
    #[event(version = 0, aliases(7), kind = "new")]
    AccountOpened(AccountOpened),
    Closed,
    MoneyDeposited(MoneyDeposited),
    Again(MoneyDeposited),
}

fn takes_events(_: impl EventSet) {}

fn uses_of_the_set_are_no_mistake() {
    takes_events(AccountEvent::from(AccountOpened));
}

fn main() {}
