//! The impl that `#[derive(Aggregate)]` writes.

use proc_macro2::TokenStream;
use quote::quote_spanned;

use super::model::{Aggregate, Snapshot};
use crate::fingerprint::literal;

/// Spanned at the state's name: what it lacks is reported there.
pub(super) fn expand(aggregate: &Aggregate<'_>) -> TokenStream {
    let Aggregate { state, lints, event, stream_type, fingerprint, .. } = aggregate;
    let fingerprint = literal(*fingerprint);
    let snapshots = snapshots(aggregate);
    quote_spanned! {state.span()=>
        #(#lints)*
        #[automatically_derived]
        impl ::es_core::codegen::Aggregate for #state {
            type Event = #event;
            const TYPE: &'static str = #stream_type;
            const STATE_FINGERPRINT: u64 = #fingerprint;

            #snapshots
        }
    }
}

fn snapshots(aggregate: &Aggregate<'_>) -> TokenStream {
    let span = aggregate.state.span();
    match aggregate.snapshot {
        Snapshot::None => quote_spanned! {span=>
            fn snapshot(&self) -> ::core::option::Option<::std::vec::Vec<u8>> {
                ::core::option::Option::None
            }

            fn restore(_: &[u8]) -> ::core::option::Option<Self> {
                ::core::option::Option::None
            }
        },
        Snapshot::Prost => quote_spanned! {span=>
            fn snapshot(&self) -> ::core::option::Option<::std::vec::Vec<u8>> {
                ::core::option::Option::Some(::es_core::codegen::prost::Message::encode_to_vec(self))
            }

            fn restore(snapshot: &[u8]) -> ::core::option::Option<Self> {
                <Self as ::es_core::codegen::prost::Message>::decode(snapshot).ok()
            }
        },
        Snapshot::Serde => quote_spanned! {span=>
            fn snapshot(&self) -> ::core::option::Option<::std::vec::Vec<u8>> {
                ::es_core::codegen::snapshot_json(self)
            }

            fn restore(snapshot: &[u8]) -> ::core::option::Option<Self> {
                ::es_core::codegen::restore_json(snapshot)
            }
        },
    }
}
