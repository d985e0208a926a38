//! From the block to the [`model`](super::model), with every mistake noted.

use proc_macro2::TokenStream;
use syn::{ImplItem, ImplItemFn, Item, ItemImpl, PathArguments, Type};

use super::model::{Applier, Handler};
use super::signature;
use crate::carried::conditions_and_lints;
use crate::errors::Errors;

/// The attribute's item, which has to be an `impl` block.
pub(super) fn block(item: TokenStream) -> syn::Result<ItemImpl> {
    match syn::parse2(item.clone())? {
        Item::Impl(block) => Ok(block),
        _ => Err(syn::Error::new_spanned(
            item,
            "`#[event_applier]` belongs on a block of event handlers: `impl Account { .. }`",
        )),
    }
}

/// The model of the methods that have the right shape; `None` where the block itself has not.
pub(super) fn parse<'a>(block: &'a ItemImpl, errors: &mut Errors) -> Option<Applier<'a>> {
    let is_usable = check_block(block, errors);
    let handlers = block.items.iter().filter_map(|item| handler(item, errors)).collect();
    is_usable.then(|| Applier { state: &block.self_ty, attributes: conditions_and_lints(&block.attrs), handlers })
}

/// Whether the block belongs to a type without generics, and to no trait.
fn check_block(block: &ItemImpl, errors: &mut Errors) -> bool {
    const GENERIC: &str = "an aggregate can't be generic: it has one stream type";
    if let Some((path, _)) = &block.trait_ {
        errors.at(path, "`#[event_applier]` belongs on a block that implements no trait: `impl Account { .. }`");
        return false;
    }
    if !block.generics.params.is_empty() {
        errors.at(&block.generics, GENERIC);
        return false;
    }
    match arguments(&block.self_ty) {
        Some(PathArguments::None) => return true,
        Some(given) => errors.at(given, GENERIC),
        None => errors.at(&block.self_ty, "event handlers belong to an aggregate: `impl Account { .. }`"),
    }
    false
}

/// The generic arguments of a type that is a path.
fn arguments(state: &Type) -> Option<&PathArguments> {
    match state {
        Type::Path(path) if path.qself.is_none() => path.path.segments.last().map(|segment| &segment.arguments),
        Type::Group(group) => arguments(&group.elem),
        _ => None,
    }
}

fn handler<'a>(item: &'a ImplItem, errors: &mut Errors) -> Option<Handler<'a>> {
    let ImplItem::Fn(ImplItemFn { attrs, sig, .. }) = item else {
        errors.at(
            item,
            "an `#[event_applier]` block contains only event handlers: move this into a separate `impl` block",
        );
        return None;
    };
    let event = signature::event(sig, errors)?;
    Some(Handler { method: &sig.ident, event, attributes: conditions_and_lints(attrs) })
}
