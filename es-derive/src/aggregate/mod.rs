//! `#[derive(Aggregate)]`.

mod expand;
mod fingerprint;
mod model;
mod parse;
#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;
use quote::quote;

use crate::errors::Errors;

/// What the derive adds: the impl, and an error for each mistake.
pub(crate) fn derive(input: TokenStream) -> TokenStream {
    let mut errors = Errors::new();
    let input = errors.keep(syn::parse2(input));
    let model = input.as_ref().and_then(|input| parse::parse(input, &mut errors));
    let implementation = model.map(|model| expand::expand(&model));
    let mistakes = errors.finish();
    quote!(#implementation #mistakes)
}
