//! The impls that `#[event_applier]` writes beside the block.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;

use super::model::{Applier, Handler};
use crate::fingerprint;

/// The handlers, and the aggregate's way to them.
pub(super) fn expand(applier: &Applier<'_>, block: &TokenStream) -> TokenStream {
    let dispatch = quote_spanned!(applier.state.span()=> ::es_core::codegen::ApplyTo::apply_to(event, self));
    with_handlers(applier, &fingerprint::of_code(block), &dispatch)
}

/// The same with an `apply` that never runs: with mistakes in the block, it keeps the aggregate's uses elsewhere from
/// failing as well, and does not miss the handlers that were refused.
pub(super) fn stand_in(applier: &Applier<'_>) -> TokenStream {
    let dispatch = quote_spanned!(applier.state.span()=> ::core::unreachable!("{event:?}"));
    with_handlers(applier, &quote!(0), &dispatch)
}

/// Spanned at the block's type: a missing handler is reported there.
fn with_handlers(applier: &Applier<'_>, fingerprint: &TokenStream, dispatch: &TokenStream) -> TokenStream {
    let Applier { state, attributes, handlers } = applier;
    let handlers = handlers.iter().map(|handler| self::handler(applier, handler));
    quote_spanned! {state.span()=>
        #(#handlers)*

        #(#attributes)*
        #[automatically_derived]
        impl ::es_core::codegen::Applier for #state {
            const APPLIER_FINGERPRINT: u64 = #fingerprint;

            fn apply(&mut self, event: &Self::Event) {
                #dispatch
            }
        }
    }
}

/// Hands one event to its method, and refuses an event that is not the aggregate's.
///
/// The user's names stand here where the compiler has nothing to add to what it says of the user's block: a type that is
/// not found, or a state that is no aggregate, is reported there once.
fn handler(applier: &Applier<'_>, handler: &Handler<'_>) -> TokenStream {
    let (state, block_attributes) = (applier.state, &applier.attributes);
    let Handler { method, event, attributes } = handler;
    let set = quote_spanned!(state.span()=> <Self as ::es_core::codegen::Aggregate>::Event);
    let of_set = quote_spanned!(state.span()=> ::es_core::codegen::EventOf<Set>);
    quote_spanned! {event.span()=>
        #(#block_attributes)*
        #(#attributes)*
        const _: () = {
            type __Event = #event;

            fn takes_only_its_own_events<Set: ::es_core::codegen::EventSet, Event: #of_set>() {}

            #[automatically_derived]
            impl ::es_core::codegen::Handles<__Event> for #state {
                fn handle(&mut self, event: &__Event) {
                    takes_only_its_own_events::<#set, __Event>();
                    Self::#method(self, event)
                }
            }
        };
    }
}
