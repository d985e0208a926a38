//! Attributes of the user's item that also hold for code written beside it.

use proc_macro2::Span;
use syn::{AttrStyle, Attribute, Ident, Meta, parse_quote};

/// Under which conditions the item is built, and what it may do without a warning.
pub(crate) fn conditions_and_lints(attributes: &[Attribute]) -> Vec<Attribute> {
    let conditions = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    conditions.cloned().map(outer).chain(lints(attributes)).collect()
}

/// What the item may do without a warning: all that it allows, and to use itself when it is deprecated.
pub(crate) fn lints(attributes: &[Attribute]) -> Vec<Attribute> {
    attributes.iter().filter_map(lint).collect()
}

fn lint(attribute: &Attribute) -> Option<Attribute> {
    if attribute.path().is_ident("deprecated") {
        return Some(parse_quote!(#[allow(deprecated)]));
    }
    let mut attribute = outer(attribute.clone());
    match &mut attribute.meta {
        Meta::List(list) if list.path.is_ident("allow") => {}
        // What is expected of the user's code may be absent from ours.
        Meta::List(list) if list.path.is_ident("expect") => list.path = Ident::new("allow", Span::call_site()).into(),
        _ => return None,
    }
    Some(attribute)
}

fn outer(mut attribute: Attribute) -> Attribute {
    attribute.style = AttrStyle::Outer;
    attribute
}

#[cfg(test)]
mod tests {
    use quote::ToTokens as _;

    use super::*;

    fn text(attributes: &[Attribute]) -> String {
        attributes.iter().map(|attribute| attribute.to_token_stream().to_string().replace(' ', "")).collect()
    }

    #[test]
    fn conditions_and_lints_go_along_and_nothing_else() {
        let item: syn::ItemStruct = parse_quote! {
            /// Doc.
            #[cfg(test)]
            #[derive(Debug)]
            #[allow(dead_code)]
            #[inline]
            struct A;
        };
        assert_eq!(text(&conditions_and_lints(&item.attrs)), "#[cfg(test)]#[allow(dead_code)]");
        assert_eq!(text(&lints(&item.attrs)), "#[allow(dead_code)]");
    }

    #[test]
    fn what_is_expected_or_deprecated_is_allowed_beside() {
        let item: syn::ItemStruct = parse_quote! {
            #[expect(dead_code, reason = "later")]
            #[deprecated = "gone"]
            struct A;
        };
        assert_eq!(text(&lints(&item.attrs)), "#[allow(dead_code,reason=\"later\")]#[allow(deprecated)]");
    }
}
