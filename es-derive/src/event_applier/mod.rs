//! `#[event_applier]`.

mod check;
mod expand;
mod model;
mod parse;
mod signature;
#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;
use quote::quote;

use crate::errors::Errors;

/// The user's block as it is, then the impls, and an error for each mistake.
pub(crate) fn apply(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::new();
    if !arguments.is_empty() {
        errors.at(arguments, "`#[event_applier]` takes no arguments: the methods of its block determine the events");
    }
    let block = errors.keep(parse::block(item.clone()));
    let mut model = block.as_ref().and_then(|block| parse::parse(block, &mut errors));
    if let Some(model) = &mut model {
        check::check(model, &mut errors);
    }
    let mistakes = errors.finish();
    let implementation = model.map(|model| match mistakes {
        None => expand::expand(&model, &item),
        Some(_) => expand::stand_in(&model),
    });
    quote!(#item #implementation #mistakes)
}
