//! The expansion, as `cargo expand` would show it.

use quote::quote;

use super::derive;
use crate::testing::assert_expansion;

#[test]
fn a_message_keeps_itself_with_prost() {
    assert_expansion!(derive(quote! {
        #[aggregate(event = AccountEvent, type = "bank.v1.Account", snapshot = prost)]
        pub struct Account {
            #[prost(string, tag = "1")]
            pub account_id: String,
            #[prost(int64, tag = "3")]
            pub balance_cents: i64,
        }
    }));
}

#[test]
fn a_state_of_the_user_s_own_keeps_itself_with_serde() {
    assert_expansion!(derive(quote! {
        #[aggregate(event = events::AccountEvent, type = "bank.v1.Account", snapshot = serde, snapshot_version = 2)]
        #[allow(deprecated)]
        struct Account {
            cents: i64,
        }
    }));
}

#[test]
fn a_state_without_snapshots_has_no_fingerprint() {
    assert_expansion!(derive(quote! {
        #[aggregate(event = AccountEvent, type = "bank.v1.Account")]
        struct Account;
    }));
}

#[test]
fn with_a_mistake_the_impl_is_still_written() {
    assert_expansion!(derive(quote! {
        #[aggregate(event = AccountEvent)]
        struct Account;
    }));
}

#[test]
fn what_is_no_item_at_all_is_an_error() {
    assert!(
        derive(quote!(
            fn account() {}
        ))
        .to_string()
        .contains("compile_error")
    );
}
