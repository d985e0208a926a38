//! Collects every mistake of one macro call, so that a build reports them all.

use std::fmt::Display;

use proc_macro2::TokenStream;
use quote::ToTokens;

/// The mistakes found so far. It has to be consumed by [`finish`](Errors::finish): dropping it would lose them silently.
pub(crate) struct Errors {
    found: Vec<syn::Error>,
    finished: bool,
}

impl Errors {
    pub(crate) fn new() -> Self {
        Self { found: Vec::new(), finished: false }
    }

    /// Notes a mistake at `tokens`.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl Display) {
        self.add(syn::Error::new_spanned(tokens, message));
    }

    /// Notes a mistake that was found while parsing.
    pub(crate) fn add(&mut self, error: syn::Error) {
        self.found.push(error);
    }

    /// The value, or `None` with its mistake noted.
    pub(crate) fn keep<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    /// One `compile_error!` for each mistake, in order; `None` when there was none.
    pub(crate) fn finish(mut self) -> Option<TokenStream> {
        self.finished = true;
        if self.found.is_empty() {
            return None;
        }
        Some(self.found.iter().map(syn::Error::to_compile_error).collect())
    }
}

impl Drop for Errors {
    fn drop(&mut self) {
        if !self.finished && !std::thread::panicking() {
            panic!("errors of a macro were dropped instead of reported");
        }
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    #[test]
    fn every_mistake_is_reported_in_order() {
        let mut errors = Errors::new();
        errors.at(quote!(a), "first");
        errors.at(quote!(b), "second");
        let reported = errors.finish().expect("two mistakes").to_string();
        assert!(reported.find("first") < reported.find("second"), "{reported}");
        assert_eq!(reported.matches("compile_error").count(), 2);
    }

    #[test]
    fn no_mistake_is_no_output() {
        assert!(Errors::new().finish().is_none());
    }

    #[test]
    #[should_panic(expected = "dropped instead of reported")]
    fn forgetting_to_report_is_noticed() {
        drop(Errors::new());
    }
}
