//! Reads `#[name(key = value, ..)]`: each key at most once, unknown keys named, and reading goes on after a mistake.

use std::fmt::Display;

use proc_macro2::TokenStream;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta, Token, token};

use crate::errors::Errors;

/// The value of a key that is given once.
pub(crate) struct Slot<T> {
    key: &'static str,
    given: bool,
    value: Option<T>,
}

impl<T> Slot<T> {
    pub(crate) fn new(key: &'static str) -> Self {
        Self { key, given: false, value: None }
    }

    /// Takes what was read for the key. An unusable value still counts as given: it has been reported.
    pub(crate) fn set(&mut self, meta: &ParseNestedMeta<'_>, value: Option<T>, errors: &mut Errors) {
        if self.given {
            errors.at(&meta.path, format_args!("`{}` is given twice", self.key));
        } else {
            self.given = true;
            self.value = value;
        }
    }

    /// Whether the key is present, with a usable value or not.
    pub(crate) fn is_given(&self) -> bool {
        self.given
    }

    pub(crate) fn value(self) -> Option<T> {
        self.value
    }
}

/// Calls `read` for each key of every attribute called `name`. Returns whether all of them could be read; when not, a key
/// that seems to be missing may be in the unread rest.
pub(crate) fn read_all(
    attributes: &[Attribute],
    name: &str,
    errors: &mut Errors,
    mut read: impl FnMut(&ParseNestedMeta<'_>, &mut Errors) -> syn::Result<()>,
) -> bool {
    let mut is_complete = true;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(name)) {
        let parsed = match &attribute.meta {
            Meta::List(_) => attribute.parse_nested_meta(|meta| read(&meta, errors)),
            // `#[aggregate]` alone: a missing key is reported by its check.
            Meta::Path(_) => Ok(()),
            Meta::NameValue(_) => Err(syn::Error::new_spanned(
                attribute,
                format_args!("the keys of `{name}` are written in parentheses: `#[{name}(..)]`"),
            )),
        };
        is_complete &= errors.keep(parsed).is_some();
    }
    is_complete
}

/// Reports a key that the attribute does not have, and skips its value.
pub(crate) fn unknown(meta: &ParseNestedMeta<'_>, known: &str, errors: &mut Errors) -> syn::Result<()> {
    errors.at(&meta.path, format_args!("unknown key: expected {known}"));
    if meta.input.peek(Token![=]) {
        meta.value()?.parse::<Expr>()?;
    } else if meta.input.peek(token::Paren) {
        let inside;
        syn::parenthesized!(inside in meta.input);
        inside.parse::<TokenStream>()?;
    }
    Ok(())
}

/// Reads `= value`, or says what is `wanted`.
pub(crate) fn value<T: syn::parse::Parse>(meta: &ParseNestedMeta<'_>, wanted: &str) -> syn::Result<T> {
    if !meta.input.peek(Token![=]) {
        return Err(syn::Error::new_spanned(&meta.path, wanted));
    }
    meta.value()?.parse()
}

/// Reads `= "text"`.
pub(crate) fn string(meta: &ParseNestedMeta<'_>, wanted: &str, errors: &mut Errors) -> syn::Result<Option<LitStr>> {
    Ok(text(value(meta, wanted)?, wanted, errors))
}

/// Reads `("text", "text")`.
pub(crate) fn strings(meta: &ParseNestedMeta<'_>, wanted: &str, errors: &mut Errors) -> syn::Result<Vec<LitStr>> {
    if !meta.input.peek(token::Paren) {
        // Skips a value, so that only this one is reported.
        value::<Expr>(meta, wanted)?;
        return Err(syn::Error::new_spanned(&meta.path, wanted));
    }
    let inside;
    syn::parenthesized!(inside in meta.input);
    let values = inside.parse_terminated(|input| input.parse::<Expr>(), Token![,])?;
    Ok(values.into_iter().filter_map(|value| text(value, wanted, errors)).collect())
}

/// Reads `= 2`: a version, from 1.
pub(crate) fn version(meta: &ParseNestedMeta<'_>, key: &str, errors: &mut Errors) -> syn::Result<Option<u32>> {
    let wanted = format!("a version is a whole number from 1: `{key} = 2`");
    let value = ungrouped(value(meta, &wanted)?);
    let version = match &value {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse().ok().filter(|version| *version > 0),
        _ => None,
    };
    if version.is_none() {
        errors.at(value, wanted);
    }
    Ok(version)
}

fn text(value: Expr, wanted: impl Display, errors: &mut Errors) -> Option<LitStr> {
    match ungrouped(value) {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text),
        other => {
            errors.at(other, wanted);
            None
        }
    }
}

/// The expression inside the invisible delimiters around a macro's `$literal`.
pub(crate) fn ungrouped(value: Expr) -> Expr {
    match value {
        Expr::Group(group) => ungrouped(*group.expr),
        other => other,
    }
}
