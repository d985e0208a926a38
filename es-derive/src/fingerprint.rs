//! Hashes of source: two builds that differ in it get different fingerprints, a comment or a line break changes none.

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use quote::quote;
use syn::LitInt;

use crate::source::{flat, is_punct, normalised};

/// FNV-1a with 64 bits: the same with every compiler and platform, which the standard library's hashers do not promise.
pub(crate) fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A fingerprint as an expansion shows it.
pub(crate) fn literal(fingerprint: u64) -> LitInt {
    let text = if fingerprint == 0 { "0".to_owned() } else { format!("0x{fingerprint:016x}") };
    LitInt::new(&text, Span::call_site())
}

/// The fingerprint of code, as an expression: its text, and which of its conditions hold in this build.
///
/// An attribute macro sees code before conditional compilation, so the text alone does not tell which code was built.
pub(crate) fn of_code(tokens: &TokenStream) -> TokenStream {
    let text = literal(fnv1a(&normalised(tokens)));
    let mut conditions = Vec::new();
    collect_conditions(tokens.clone(), &mut conditions);
    let held = conditions.iter().enumerate().map(|(index, condition)| {
        let salt = literal(fnv1a(&format!("{index} {}", normalised(condition))));
        quote!(^ if ::core::cfg!(#condition) { #salt } else { 0 })
    });
    quote!(#text #(#held)*)
}

/// Finds the predicate of every `#[cfg(..)]`, `#[cfg_attr(..)]` and `cfg!(..)`.
fn collect_conditions(tokens: TokenStream, found: &mut Vec<TokenStream>) {
    let tokens = flat(tokens);
    for (index, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let condition = match (&tokens[..index], group.delimiter()) {
            ([.., hash], Delimiter::Bracket) if is_punct(hash, '#') => of_attribute(group.stream()),
            ([.., hash, bang], Delimiter::Bracket) if is_punct(hash, '#') && is_punct(bang, '!') => {
                of_attribute(group.stream())
            }
            ([.., name, bang], Delimiter::Parenthesis) if is_ident(name, "cfg") && is_punct(bang, '!') => {
                Some(group.stream())
            }
            _ => None,
        };
        match condition {
            Some(condition) => found.push(condition),
            None => collect_conditions(group.stream(), found),
        }
    }
}

/// The predicate of `cfg(..)`, and what stands before the first comma of `cfg_attr(..)`.
fn of_attribute(attribute: TokenStream) -> Option<TokenStream> {
    match flat(attribute).as_slice() {
        [name, TokenTree::Group(predicate)] if is_ident(name, "cfg") => Some(predicate.stream()),
        [name, TokenTree::Group(arguments)] if is_ident(name, "cfg_attr") => {
            Some(flat(arguments.stream()).into_iter().take_while(|token| !is_punct(token, ',')).collect())
        }
        _ => None,
    }
}

fn is_ident(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(source: &str) -> TokenStream {
        source.parse().expect("source of a test")
    }

    #[test]
    fn the_hash_is_fnv_1a_with_64_bits() {
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a("foobar"), 0x8594_4171_f739_67e8);
    }

    fn conditions(source: &str) -> Vec<String> {
        let mut found = Vec::new();
        collect_conditions(tokens(source), &mut found);
        found.iter().map(normalised).collect()
    }

    #[test]
    fn conditions_are_found_wherever_they_stand() {
        let source = "#![cfg(a)] #[cfg(all(b, c))] fn f() { if cfg!(d) {} } #[cfg_attr(e, inline)] #[doc(f)] fn g() {}";
        assert_eq!(conditions(source), ["a", "all ( b , c )", "d", "e"]);
    }

    #[test]
    fn what_only_looks_like_a_condition_is_none() {
        assert_eq!(conditions("fn f(cfg: u8) { [cfg(1)]; cfg(2); cfg != (3); #[inline(cfg(4))] g() }"), [""; 0]);
    }

    #[test]
    fn code_without_conditions_has_a_plain_number() {
        assert_eq!(of_code(&tokens("fn f() {}")).into_iter().count(), 1);
    }

    #[test]
    fn two_conditions_of_one_text_do_not_cancel_each_other() {
        let expression = of_code(&tokens("#[cfg(test)] fn a() {} #[cfg(test)] fn b() {}")).to_string();
        let salts: Vec<&str> = expression.split("0x").skip(2).map(|salt| &salt[..16]).collect();
        assert_eq!(salts.len(), 2);
        assert_ne!(salts[0], salts[1]);
    }
}
