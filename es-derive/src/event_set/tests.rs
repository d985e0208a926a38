//! The expansion, as `cargo expand` would show it.

use quote::quote;

use super::derive;
use crate::testing::{assert_expansion, pretty};

#[test]
fn an_event_set() {
    assert_expansion!(derive(quote! {
        #[events(package = "bank.v1")]
        pub enum AccountEvent {
            #[event(version = 2, aliases("bank.v1.Opened"))]
            AccountOpened(AccountOpened),
            #[event(type = "bank.Deposited")]
            MoneyDeposited(events::MoneyDeposited),
        }
    }));
}

#[test]
fn what_a_variant_allows_its_impls_do() {
    let expansion = derive(quote! {
        #[events(package = "bank.v1")]
        enum AccountEvent {
            #[allow(deprecated)]
            MoneyMoved(MoneyMoved),
        }
    });
    let expansion = pretty(expansion);
    assert_eq!(expansion.matches("#[allow(deprecated)]").count(), expansion.matches("\nimpl").count(), "{expansion}");
}

#[test]
fn with_a_mistake_stand_ins_are_written() {
    assert_expansion!(derive(quote! {
        #[events(package = "bank.v1")]
        enum AccountEvent {
            AccountOpened(AccountOpened),
            Closed,
        }
    }));
}
