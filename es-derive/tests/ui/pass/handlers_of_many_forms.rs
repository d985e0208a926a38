//! Whatever a method may look like that takes `&mut self` and one `&event`.
#![deny(warnings)]

use es_core::{Applier, event_applier};

include!("../common/bank.rs");

/// A block may say what holds for all of it.
#[event_applier]
#[cfg(all())]
#[allow(clippy::needless_pass_by_value)]
impl self::Account {
    #![allow(unused_parens)]

    /// A documented method, visible elsewhere, with a pattern instead of a name.
    #[inline]
    #[must_use = "nothing comes back, but the attribute is the user's"]
    pub(crate) fn opened(self: &mut Self, AccountOpened { owner }: &AccountOpened) -> () {
        self.owner.clone_from(owner);
    }

    // A raw name, a spelled-out lifetime, a path in parentheses.
    fn r#move(&mut self, r#type: &'_ (self::MoneyDeposited)) {
        self.cents += r#type.cents;
    }
}

impl Account {
    fn balance(&self) -> i64 {
        self.cents
    }
}

fn main() {
    let mut account = Account::default();
    account.apply(&MoneyDeposited { cents: 5 }.into());
    account.apply(&AccountOpened { owner: "Ada".into() }.into());
    assert_eq!((account.owner.as_str(), account.balance()), ("Ada", 5));
}
