//! The smallest aggregate there is, and no lint has anything to say about what the macros write.
#![deny(warnings)]
#![deny(unused, future_incompatible, let_underscore, nonstandard_style, rust_2018_idioms, keyword_idents)]
#![deny(
    missing_debug_implementations,
    missing_docs,
    non_local_definitions,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unit_bindings,
    unreachable_pub,
    unsafe_code,
    unused_lifetimes,
    unused_qualifications,
    unused_results
)]

use es_core::{Aggregate, Applier, EventSet, event_applier};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct AccountOpened {
    owner: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct MoneyDeposited {
    cents: i64,
}

#[derive(Clone, Debug, EventSet)]
#[events(package = "bank.v1")]
enum AccountEvent {
    #[event(version = 2, aliases("bank.v1.Opened"))]
    AccountOpened(AccountOpened),
    MoneyDeposited(MoneyDeposited),
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, Aggregate)]
#[aggregate(event = AccountEvent, type = "bank.v1.Account", snapshot = serde, snapshot_version = 2)]
struct Account {
    owner: String,
    cents: i64,
}

#[event_applier]
impl Account {
    fn opened(&mut self, event: &AccountOpened) {
        self.owner.clone_from(&event.owner);
    }

    fn deposited(&mut self, event: &MoneyDeposited) {
        self.cents += event.cents;
    }
}

fn main() {
    let mut account = Account::default();
    account.apply(&AccountOpened { owner: "Ada".into() }.into());
    account.apply(&MoneyDeposited { cents: 5 }.into());
    assert_eq!((account.owner.as_str(), account.cents), ("Ada", 5));
}
