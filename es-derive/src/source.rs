//! Source code as text that is the same however it was laid out and commented.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;

/// The tokens as text, one space between any two of them, without doc comments.
pub(crate) fn normalised(tokens: &impl ToTokens) -> String {
    let mut text = String::new();
    write(tokens.to_token_stream(), &mut text);
    text
}

/// A type or path as a message shows it.
pub(crate) fn shown(tokens: &impl ToTokens) -> String {
    let mut text = normalised(tokens);
    for (spaced, plain) in [(" :: ", "::"), (" : : ", "::"), (" < ", "<"), (" >", ">"), ("& ", "&"), (" ,", ",")] {
        text = text.replace(spaced, plain);
    }
    text
}

/// The tokens of one level, without the invisible delimiters around what a `macro_rules!` was given: they are not source.
pub(crate) fn flat(tokens: TokenStream) -> Vec<TokenTree> {
    let mut flattened = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => flattened.extend(flat(group.stream())),
            other => flattened.push(other),
        }
    }
    flattened
}

fn write(tokens: TokenStream, text: &mut String) {
    for token in without_docs(flat(tokens)) {
        let TokenTree::Group(group) = token else {
            push(&token.to_string(), text);
            continue;
        };
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::Brace | Delimiter::None => ("{", "}"),
        };
        push(open, text);
        write(group.stream(), text);
        push(close, text);
    }
}

fn push(token: &str, text: &mut String) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(token);
}

/// The tokens of one level without `#[doc ..]` and `#![doc ..]`, which is what doc comments have become here.
fn without_docs(tokens: Vec<TokenTree>) -> Vec<TokenTree> {
    let mut code: Vec<TokenTree> = Vec::new();
    for token in tokens {
        if is_doc(&token) {
            let marks = match code.as_slice() {
                [.., hash, bang] if is_punct(hash, '#') && is_punct(bang, '!') => 2,
                [.., hash] if is_punct(hash, '#') => 1,
                _ => 0,
            };
            if marks > 0 {
                code.truncate(code.len() - marks);
                continue;
            }
        }
        code.push(token);
    }
    code
}

fn is_doc(token: &TokenTree) -> bool {
    let TokenTree::Group(group) = token else { return false };
    group.delimiter() == Delimiter::Bracket
        && matches!(flat(group.stream()).first(), Some(TokenTree::Ident(name)) if name == "doc")
}

pub(crate) fn is_punct(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str) -> String {
        normalised(&source.parse::<TokenStream>().expect("source of a test"))
    }

    #[test]
    fn whitespace_and_comments_do_not_count() {
        let spread = "/// Doc.\nfn f ( a : & mut Vec < u8 > ) {\n  //! Inner.\n // why\n a . push ( 1 ) ; }";
        assert_eq!(text(spread), "fn f ( a : & mut Vec < u8 > ) { a . push ( 1 ) ; }");
        assert_eq!(text(spread), text("fn f(a: &mut Vec<u8>) { a.push(1); }"));
    }

    #[test]
    fn what_came_through_a_macro_is_the_same_source() {
        let grouped = |source: &str| {
            let inside = source.parse().expect("source of a test");
            TokenTree::Group(proc_macro2::Group::new(Delimiter::None, inside))
        };
        let (doc, of) = (grouped("doc = \" Doc.\""), grouped("Vec<u8>"));
        assert_eq!(normalised(&quote::quote!(#[#doc] fn f(a: #of) {})), text("fn f(a: Vec<u8>) {}"));
    }

    #[test]
    fn attributes_and_values_count() {
        assert_ne!(text("#[inline] fn f() {}"), text("fn f() {}"));
        assert_ne!(text("fn f() { 1 }"), text("fn f() { 2 }"));
        assert_ne!(text("[doc]"), text(""));
    }

    #[test]
    fn a_message_shows_a_type_as_it_was_written() {
        let written = "bank::v1::Page<crate::Event, u8>";
        assert_eq!(shown(&written.parse::<TokenStream>().expect("a type")), written);
    }
}
