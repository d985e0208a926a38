//! The repository of an aggregate.

use proc_macro2::TokenStream;
use quote::quote;

use super::{doc, ident, paths::Paths};
use crate::{model::Aggregate, names::camel_part};

/// `pub type AccountRepository`
pub(super) fn repository(aggregate: &Aggregate, paths: &Paths) -> TokenStream {
    let name = ident(&format!("{}Repository", camel_part(&aggregate.name)));
    let root = paths.message(aggregate.package(), &aggregate.root);
    // Without a parameter that defaults to the root: in an expression such a default counts for nothing, and
    // `AccountRepository::new(store)` would need its type spelled out.
    let about = doc(format!("Loads and saves `{}`.", aggregate.name));
    quote! {
        #about
        pub type #name = ::es_core::codegen::Repository<#root>;
    }
}
