//! The enum of an aggregate's events, and what makes its messages events.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Type;

use super::{doc, docs, ident, paths::Paths};
use crate::{
    model::{Aggregate, Event},
    names::{camel_part, to_upper_camel},
};

/// The name of the enum: `AccountEvent`.
pub(super) fn enum_name(aggregate: &Aggregate) -> String {
    format!("{}Event", camel_part(&aggregate.name))
}

/// The enum, its impls, and those of each event.
pub(super) fn events(aggregate: &Aggregate, paths: &Paths) -> TokenStream {
    let set = Set {
        name: ident(&enum_name(aggregate)),
        events: &aggregate.events,
        variants: aggregate.events.iter().map(|event| ident(&to_upper_camel(event.message.simple()))).collect(),
        types: aggregate.events.iter().map(|event| paths.message(aggregate.package(), &event.message)).collect(),
    };
    let all = aggregate.events.iter().chain(&aggregate.old_events).filter(|event| !event.external);
    let messages = all.map(|event| event_impl(event, aggregate, paths));
    let (declaration, event_set, conversions, apply_to) =
        (set.declaration(aggregate), set.event_set(), set.conversions(), set.apply_to());
    quote!(#declaration #event_set #conversions #apply_to #(#messages)*)
}

/// The enum, with the variants and messages in the events' order.
struct Set<'a> {
    name: proc_macro2::Ident,
    events: &'a [Event],
    variants: Vec<proc_macro2::Ident>,
    types: Vec<Type>,
}

impl Set<'_> {
    fn declaration(&self, aggregate: &Aggregate) -> TokenStream {
        let Self { name, variants, types, .. } = self;
        let about = doc(format!("The events of the aggregate `{}`.", aggregate.name));
        let variant_docs = self.events.iter().map(|event| match event.docs.is_empty() {
            true => doc(format!("`{}`", event.message)),
            false => docs(&event.docs),
        });
        // Which lints an enum of the user's own would get is for the user to say, but this one is not theirs to change.
        let lints =
            (!variants.is_empty()).then(|| quote!(#[allow(clippy::enum_variant_names, clippy::large_enum_variant)]));
        quote! {
            #about
            #[derive(Clone, Debug, PartialEq)]
            #lints
            pub enum #name { #(#variant_docs #variants(#types),)* }
        }
    }

    fn event_set(&self) -> TokenStream {
        let Self { name, events, variants, types } = self;
        let all_types = events.iter().flat_map(Event::all_types);
        let decode = events.iter().zip(variants).zip(types).map(|((event, variant), ty)| {
            let names = event.all_types();
            quote!(#(#names)|* => <#ty as ::es_core::codegen::Event>::decode_stored(event).map(#name::#variant))
        });
        // A match on a type without values has no arms, and takes none that binds.
        let by_variant = |arm: &dyn Fn(&Type) -> TokenStream| {
            if variants.is_empty() {
                return quote!(match *self {});
            }
            let arms = types.iter().map(arm);
            quote!(match self { #(#name::#variants(_) => #arms,)* })
        };
        let event_type = by_variant(&|ty| quote!(<#ty as ::es_core::codegen::Event>::TYPE));
        let schema_version = by_variant(&|ty| quote!(<#ty as ::es_core::codegen::Event>::SCHEMA_VERSION));
        let encoding = by_variant(&|ty| quote!(<#ty as ::es_core::codegen::Event>::ENCODING));
        let (buffer, encode) = match variants.is_empty() {
            true => (quote!(_buffer), quote!(match *self {})),
            false => (
                quote!(buffer),
                quote!(match self { #(#name::#variants(event) => ::es_core::codegen::Event::encode(event, buffer),)* }),
            ),
        };
        let unknown = quote!(::es_core::codegen::DecodeError::unknown_type);
        let decode = match variants.is_empty() {
            true => quote!(Err(#unknown(event.event_type))),
            false => quote!(match event.event_type {
                #(#decode,)*
                other => Err(#unknown(other)),
            }),
        };
        quote! {
            impl ::es_core::codegen::EventSet for #name {
                const TYPES: &'static [&'static str] = &[#(#all_types),*];
                fn event_type(&self) -> &'static str { #event_type }
                fn schema_version(&self) -> u32 { #schema_version }
                fn encoding(&self) -> ::es_core::codegen::Encoding { #encoding }
                fn encode(&self, #buffer: &mut ::std::vec::Vec<u8>)
                    -> ::core::result::Result<(), ::es_core::codegen::EncodeError> { #encode }
                fn decode(event: ::es_core::codegen::Encoded<'_>)
                    -> ::core::result::Result<Self, ::es_core::codegen::DecodeError> { #decode }
            }
        }
    }

    fn conversions(&self) -> TokenStream {
        let Self { name, variants, types, .. } = self;
        quote! {
            #(
                impl ::core::convert::From<#types> for #name {
                    fn from(event: #types) -> Self { Self::#variants(event) }
                }
                impl ::es_core::codegen::EventOf<#name> for #types {}
            )*
        }
    }

    fn apply_to(&self) -> TokenStream {
        let Self { name, variants, types, .. } = self;
        if variants.is_empty() {
            return quote! {
                impl<A> ::es_core::codegen::ApplyTo<A> for #name {
                    fn apply_to(&self, _aggregate: &mut A) { match *self {} }
                }
            };
        }
        quote! {
            impl<A> ::es_core::codegen::ApplyTo<A> for #name
            where A: #(::es_core::codegen::Handles<#types>)+*
            {
                fn apply_to(&self, aggregate: &mut A) {
                    match self { #(#name::#variants(event) => aggregate.handle(event),)* }
                }
            }
        }
    }
}

/// What makes a message an event: its name, its version, and the older events it is read from.
fn event_impl(event: &Event, aggregate: &Aggregate, paths: &Paths) -> TokenStream {
    let ty = paths.message(aggregate.package(), &event.message);
    let name = event.message.full();
    let types: Vec<&String> = event.all_types().collect();
    let types = (types.len() > 1).then(|| quote!(const TYPES: &'static [&'static str] = &[#(#types),*];));
    let version = event.version.map(|version| quote!(const SCHEMA_VERSION: u32 = #version;));
    let decode_stored = (!event.upcasts.is_empty()).then(|| decode_stored(event, aggregate, paths));
    quote! {
        impl ::es_core::codegen::Event for #ty {
            const TYPE: &'static str = #name;
            #types
            #version
            fn encode(&self, buffer: &mut ::std::vec::Vec<u8>)
                -> ::core::result::Result<(), ::es_core::codegen::EncodeError> {
                ::es_core::codegen::encode_message(self, buffer)
            }
            fn decode(payload: &[u8]) -> ::core::result::Result<Self, ::es_core::codegen::DecodeError> {
                ::es_core::codegen::decode_message(payload)
            }
            #decode_stored
        }
    }
}

/// Older events are decoded as what they are, then converted by the user's `From`.
fn decode_stored(event: &Event, aggregate: &Aggregate, paths: &Paths) -> TokenStream {
    let own = &event.own_types;
    let upcasts = event.upcasts.iter().map(|upcast| {
        let old = paths.message(aggregate.package(), &upcast.message);
        let types = &upcast.types;
        quote! {
            #(#types)|* => {
                let old = <#old as ::es_core::codegen::Event>::decode_stored(event)?;
                Ok(::es_core::codegen::UpcastFrom::upcast_from(old))
            }
        }
    });
    quote! {
        fn decode_stored(event: ::es_core::codegen::Encoded<'_>)
            -> ::core::result::Result<Self, ::es_core::codegen::DecodeError> {
            match event.event_type {
                #(#own)|* => {
                    ::es_core::codegen::DecodeError::expect_encoding(Self::ENCODING, event.encoding)?;
                    Self::decode(event.payload)
                }
                #(#upcasts)*
                other => Err(::es_core::codegen::DecodeError::unknown_type(other)),
            }
        }
    }
}
