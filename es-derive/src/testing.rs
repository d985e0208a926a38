//! Expansions as a person would write them.

use proc_macro2::TokenStream;

/// The expansion, formatted.
pub(crate) fn pretty(expansion: TokenStream) -> String {
    prettyplease::unparse(&syn::parse2(expansion).expect("an expansion is Rust"))
}

/// Compares an expansion with the snapshot named after the test.
macro_rules! assert_expansion {
    ($expansion:expr) => {
        insta::with_settings!({ omit_expression => true }, {
            insta::assert_snapshot!($crate::testing::pretty($expansion))
        })
    };
}
pub(crate) use assert_expansion;
