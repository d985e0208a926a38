//! The impls that `#[derive(EventSet)]` writes.

use proc_macro2::{Literal, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Ident, Type};

use super::model::{Event, EventSet};

pub(super) fn expand(set: &EventSet<'_>) -> TokenStream {
    let events = set.events.iter().map(|event| self::event(set, event));
    let event_set = event_set(set);
    let apply_to = apply_to(set);
    quote!(#(#events)* #event_set #apply_to)
}

/// What one event is, and that it belongs to the set. Spanned at the variant's type: what that lacks is reported there.
fn event(set: &EventSet<'_>, event: &Event<'_>) -> TokenStream {
    let (EventSet { name, lints, .. }, Event { variant, payload, stored_as, version, aliases }) = (set, event);
    let types =
        (!aliases.is_empty()).then(|| quote!(const TYPES: &'static [&'static str] = &[#stored_as #(, #aliases)*];));
    let version = version.map(|version| {
        let version = Literal::u32_unsuffixed(version);
        quote!(const SCHEMA_VERSION: u32 = #version;)
    });
    quote_spanned! {payload.span()=>
        #(#lints)*
        #[automatically_derived]
        impl ::es_core::codegen::Event for #payload {
            const TYPE: &'static str = #stored_as;
            #types
            #version
            const ENCODING: ::es_core::codegen::Encoding = ::es_core::codegen::Encoding::Json;

            fn encode(
                &self,
                buffer: &mut ::std::vec::Vec<u8>,
            ) -> ::core::result::Result<(), ::es_core::codegen::EncodeError> {
                ::es_core::codegen::encode_json(self, buffer)
            }

            fn decode(payload: &[u8]) -> ::core::result::Result<Self, ::es_core::codegen::DecodeError> {
                ::es_core::codegen::decode_json(payload)
            }
        }

        #(#lints)*
        #[automatically_derived]
        impl ::core::convert::From<#payload> for #name {
            fn from(event: #payload) -> Self {
                Self::#variant(event)
            }
        }

        #(#lints)*
        #[automatically_derived]
        impl ::es_core::codegen::EventOf<#name> for #payload {}
    }
}

/// The enum's own impl. It reaches each event through a generic function, which asks for `Event` alone: what an event lacks
/// (`Clone`, say) is then reported once, where it is implemented.
fn event_set(set: &EventSet<'_>) -> TokenStream {
    let (EventSet { name, lints, .. }, variants, payloads) = (set, variants(set), payloads(set));
    let types = set.events.iter().flat_map(Event::names);
    let stored_as = set.events.iter().map(|event| &event.stored_as);
    let versions = set.events.iter().map(|event| Literal::u32_unsuffixed(event.version.unwrap_or(1)));
    let names = set.events.iter().map(|event| {
        let names = event.names();
        quote!(#(#names)|*)
    });
    quote_spanned! {name.span()=>
        #(#lints)*
        #[automatically_derived]
        impl ::es_core::codegen::EventSet for #name {
            const TYPES: &'static [&'static str] = &[#(#types),*];

            fn event_type(&self) -> &'static str {
                match self {
                    #(Self::#variants(_) => #stored_as,)*
                }
            }

            fn schema_version(&self) -> u32 {
                match self {
                    #(Self::#variants(_) => #versions,)*
                }
            }

            fn encoding(&self) -> ::es_core::codegen::Encoding {
                ::es_core::codegen::Encoding::Json
            }

            fn encode(
                &self,
                buffer: &mut ::std::vec::Vec<u8>,
            ) -> ::core::result::Result<(), ::es_core::codegen::EncodeError> {
                fn encode<__Event: ::es_core::codegen::Event>(
                    event: &__Event,
                    buffer: &mut ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<(), ::es_core::codegen::EncodeError> {
                    event.encode(buffer)
                }
                match self {
                    #(Self::#variants(event) => encode(event, buffer),)*
                }
            }

            fn decode(
                event: ::es_core::codegen::Encoded<'_>,
            ) -> ::core::result::Result<Self, ::es_core::codegen::DecodeError> {
                fn decode<__Event: ::es_core::codegen::EventOf<#name>>(
                    event: ::es_core::codegen::Encoded<'_>,
                ) -> ::core::result::Result<#name, ::es_core::codegen::DecodeError> {
                    __Event::decode_stored(event).map(__Event::into)
                }
                match event.event_type {
                    #(#names => decode::<#payloads>(event),)*
                    other => ::core::result::Result::Err(::es_core::codegen::DecodeError::unknown_type(other)),
                }
            }
        }
    }
}

/// Hands each event to the aggregate's handler for it. Each bound is spanned at its event: a missing handler points there.
fn apply_to(set: &EventSet<'_>) -> TokenStream {
    let (EventSet { name, lints, .. }, variants, payloads) = (set, variants(set), payloads(set));
    let bounds = payloads.iter().map(|payload| quote_spanned!(payload.span()=> ::es_core::codegen::Handles<#payload>));
    quote_spanned! {name.span()=>
        #(#lints)*
        #[automatically_derived]
        impl<__Aggregate> ::es_core::codegen::ApplyTo<__Aggregate> for #name
        where
            __Aggregate: #(#bounds)+*,
        {
            fn apply_to(&self, aggregate: &mut __Aggregate) {
                match self {
                    #(Self::#variants(event) => ::es_core::codegen::Handles::handle(aggregate, event),)*
                }
            }
        }
    }
}

/// Impls that never run: with mistakes in the enum, they keep its uses elsewhere from failing as well.
pub(super) fn stand_in(set: &EventSet<'_>) -> TokenStream {
    let EventSet { name, lints, .. } = set;
    let events = set.events.iter().map(|event| self::event(set, event));
    quote! {
        #(#events)*

        #(#lints)*
        #[automatically_derived]
        impl ::es_core::codegen::EventSet for #name {
            const TYPES: &'static [&'static str] = &[];

            fn event_type(&self) -> &'static str {
                ::core::unreachable!()
            }

            fn schema_version(&self) -> u32 {
                ::core::unreachable!()
            }

            fn encoding(&self) -> ::es_core::codegen::Encoding {
                ::core::unreachable!()
            }

            fn encode(
                &self,
                _: &mut ::std::vec::Vec<u8>,
            ) -> ::core::result::Result<(), ::es_core::codegen::EncodeError> {
                ::core::unreachable!()
            }

            fn decode(
                _: ::es_core::codegen::Encoded<'_>,
            ) -> ::core::result::Result<Self, ::es_core::codegen::DecodeError> {
                ::core::unreachable!()
            }
        }

        #(#lints)*
        #[automatically_derived]
        impl<__Aggregate> ::es_core::codegen::ApplyTo<__Aggregate> for #name {
            fn apply_to(&self, _: &mut __Aggregate) {
                ::core::unreachable!()
            }
        }
    }
}

fn variants<'a>(set: &EventSet<'a>) -> Vec<&'a Ident> {
    set.events.iter().map(|event| event.variant).collect()
}

fn payloads<'a>(set: &EventSet<'a>) -> Vec<&'a Type> {
    set.events.iter().map(|event| event.payload).collect()
}
