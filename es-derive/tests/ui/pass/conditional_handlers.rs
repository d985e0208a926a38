//! A method's `#[cfg]` goes for its impl too, and so does what it allows.
#![deny(warnings)]
#![allow(unexpected_cfgs)]

use es_core::{Aggregate, Applier, EventSet, event_applier};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct MoneyDeposited;

#[deprecated]
#[derive(Clone, Debug, Serialize, Deserialize)]
struct MoneyMoved;

#[derive(Clone, Debug, EventSet)]
#[events(package = "bank.v1")]
#[allow(deprecated)]
enum AccountEvent {
    MoneyDeposited(MoneyDeposited),
    MoneyMoved(MoneyMoved),
    #[cfg(feature = "closing")]
    AccountClosed(AccountClosed),
}

#[derive(Clone, Debug, Default, Aggregate)]
#[aggregate(event = AccountEvent, type = "bank.v1.Account")]
struct Account {
    cents: i64,
}

#[event_applier]
impl Account {
    #[cfg(feature = "euros")]
    fn deposited(&mut self, _: &MoneyDeposited) {
        self.cents += 100;
    }

    #[cfg(not(feature = "euros"))]
    fn deposited(&mut self, _: &MoneyDeposited) {
        self.cents += 1;
    }

    #[expect(deprecated, reason = "the event is still in the store")]
    fn moved(&mut self, _: &MoneyMoved) {}

    #[cfg(feature = "closing")]
    fn closed(&mut self, _: &AccountClosed) {}
}

fn main() {
    let mut account = Account::default();
    account.apply(&MoneyDeposited.into());
    assert_eq!(account.cents, 1);
}
