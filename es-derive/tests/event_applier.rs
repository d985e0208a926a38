//! What `#[event_applier]` makes of a block.

use es_core::{Aggregate, Applier, EventSet, event_applier};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct MoneyDeposited {
    cents: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct AccountClosed;

#[derive(Clone, Debug, EventSet)]
#[events(package = "bank.v1")]
enum AccountEvent {
    MoneyDeposited(MoneyDeposited),
    AccountClosed(AccountClosed),
}

/// An account, and a block of handlers for it.
macro_rules! account {
    ($(#[$attribute:meta])* { $($handlers:tt)* }) => {
        #[derive(Clone, Debug, Default, PartialEq, Aggregate)]
        #[aggregate(event = AccountEvent, type = "bank.v1.Account")]
        struct Account {
            cents: i64,
            closed: bool,
        }

        #[event_applier]
        $(#[$attribute])*
        impl Account { $($handlers)* }
    };
}

#[test]
fn each_event_goes_to_its_own_method() {
    account!({
        fn deposited(&mut self, event: &MoneyDeposited) {
            self.cents += event.cents;
        }
        fn closed(&mut self, _: &AccountClosed) {
            self.closed = true;
        }
    });

    let mut account = Account::default();
    account.apply(&MoneyDeposited { cents: 7 }.into());
    account.apply(&MoneyDeposited { cents: 8 }.into());
    assert_eq!(account, Account { cents: 15, closed: false });
    account.apply(&AccountClosed.into());
    assert_eq!(account, Account { cents: 15, closed: true });
}

#[test]
fn the_methods_stay_callable() {
    account!({
        fn deposited(&mut self, event: &MoneyDeposited) {
            self.cents += event.cents;
        }
        fn closed(&mut self, _: &AccountClosed) {
            self.deposited(&MoneyDeposited { cents: 1 });
        }
    });

    let mut account = Account::default();
    account.closed(&AccountClosed);
    assert_eq!(account.cents, 1);
}

/// The fingerprint of a block of handlers.
macro_rules! fingerprint {
    ($($block:tt)*) => {{
        account!($($block)*);
        Account::APPLIER_FINGERPRINT
    }};
}

#[test]
fn comments_and_layout_do_not_change_the_fingerprint() {
    let plain = fingerprint!({
        fn deposited(&mut self, event: &MoneyDeposited) {
            self.cents += event.cents;
        }
        fn closed(&mut self, _: &AccountClosed) {}
    });
    let commented = fingerprint!(
        /// The handlers.
        {
            /// Money came in.
            fn deposited(&mut self, event: & MoneyDeposited) {
                // It adds up.
                self.cents
                    += event.cents;
            }

            fn closed(&mut self, _: &AccountClosed) {}
        }
    );
    assert_eq!(plain, commented);
    assert_ne!(plain, 0);
}

#[test]
fn another_body_changes_the_fingerprint() {
    let added = fingerprint!({
        fn deposited(&mut self, event: &MoneyDeposited) {
            self.cents += event.cents;
        }
        fn closed(&mut self, _: &AccountClosed) {}
    });
    let replaced = fingerprint!({
        fn deposited(&mut self, event: &MoneyDeposited) {
            self.cents = event.cents;
        }
        fn closed(&mut self, _: &AccountClosed) {}
    });
    assert_ne!(added, replaced);
}
