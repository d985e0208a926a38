//! The hooks of an aggregate: one trait for every builder.

use proc_macro2::TokenStream;
use quote::quote;

use super::{doc, events::enum_name, ident, paths::Paths};
use crate::{model::Aggregate, names::camel_part};

/// `trait AccountHooks`, with `on_account_opened` for each event.
pub(super) fn hooks(aggregate: &Aggregate, paths: &Paths) -> TokenStream {
    if aggregate.events.is_empty() {
        return TokenStream::new();
    }
    let name = ident(&format!("{}Hooks", camel_part(&aggregate.name)));
    let about = doc(format!("Hooks for the events of `{}`, on the builder of a projection.", aggregate.name));
    let stream_type = &aggregate.stream_type;
    let set = ident(&enum_name(aggregate));
    let methods = aggregate.events.iter().map(|event| {
        let method = ident(&format!("on_{}", event.hook));
        let ty = paths.message(aggregate.package(), &event.message);
        let about = doc(format!("Calls `hook` for every `{}`.", event.message));
        quote! {
            #about
            #[must_use]
            fn #method<F>(self, hook: F) -> Self where Self: ::es_core::codegen::Hook<#ty, F> {
                let types = <#set as ::es_core::codegen::EventSet>::TYPES;
                ::es_core::codegen::Hook::<#ty, F>::hook(self, hook).knows(#stream_type, types)
            }
        }
    });
    quote! {
        #about
        pub trait #name: ::es_core::codegen::HookBuilder { #(#methods)* }
        impl<B: ::es_core::codegen::HookBuilder> #name for B {}
    }
}
