//! `#[derive(EventSet)]`.

mod check;
mod expand;
mod model;
mod parse;
#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;
use quote::quote;

use crate::errors::Errors;

/// What the derive adds: the impls, and an error for each mistake.
pub(crate) fn derive(input: TokenStream) -> TokenStream {
    let mut errors = Errors::new();
    let input = errors.keep(syn::parse2(input));
    let mut model = input.as_ref().and_then(|input| parse::parse(input, &mut errors));
    if let Some(model) = &mut model {
        check::check(model, &mut errors);
    }
    let mistakes = errors.finish();
    let implementation = model.map(|model| match mistakes {
        None => expand::expand(&model),
        Some(_) => expand::stand_in(&model),
    });
    quote!(#implementation #mistakes)
}
