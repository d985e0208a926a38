//! The expansion, as `cargo expand` would show it.

use proc_macro2::TokenStream;
use quote::quote;

use super::apply;
use crate::testing::{assert_expansion, pretty};

#[test]
fn a_block_of_handlers() {
    assert_expansion!(apply(
        TokenStream::new(),
        quote! {
            impl Account {
                fn opened(&mut self, event: &AccountOpened) {
                    self.owner = event.owner.clone();
                }

                fn deposited(&mut self, event: &MoneyDeposited) {
                    self.cents += event.cents;
                }
            }
        }
    ));
}

#[test]
fn conditions_and_lints_go_along() {
    assert_expansion!(apply(
        TokenStream::new(),
        quote! {
            #[cfg(feature = "accounts")]
            impl Account {
                /// Only sometimes.
                #[cfg(feature = "moves")]
                #[expect(deprecated)]
                fn moved(&mut self, _: &MoneyMoved) {}
            }
        }
    ));
}

#[test]
fn with_a_mistake_the_block_stays_and_apply_never_runs() {
    assert_expansion!(apply(
        quote!(strict),
        quote! {
            impl Account {
                fn opened(&mut self, event: &AccountOpened) {}
                async fn deposited(&mut self, event: &MoneyDeposited) {}
            }
        }
    ));
}

#[test]
fn what_is_no_block_stays_as_it_is() {
    let expansion = pretty(apply(
        TokenStream::new(),
        quote!(
            struct Account;
        ),
    ));
    assert!(expansion.starts_with("struct Account;\n::core::compile_error!"), "{expansion}");
}
