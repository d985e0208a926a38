//! The client: one method per rpc.

use proc_macro2::{Literal, TokenStream};
use quote::quote;

use super::{
    super::{doc, docs, ident},
    Method, Service,
    handler::convention,
};
use crate::names::camel_part;

/// `pub struct AccountCommandServiceClient`
pub(super) fn client(service: &Service<'_>) -> TokenStream {
    let client = ident(&format!("{}Client", camel_part(&service.model.name)));
    let about = doc(format!("Calls `{}` over a transport.", service.full_name));
    let methods = service.methods.iter().enumerate().map(|(index, method)| self::method(service, method, index));
    quote! {
        #about
        #[derive(Clone, Debug)]
        pub struct #client { client: ::es_core::codegen::Client }

        impl #client {
            /// A client that calls over `transport`.
            pub fn new(transport: impl ::es_core::codegen::Transport) -> Self {
                Self { client: ::es_core::codegen::Client::new(transport) }
            }

            /// The client with defaults for every call: tenant, principal, correlation.
            #[must_use]
            pub fn with(self, metadata: ::es_core::codegen::Metadata) -> Self {
                Self { client: self.client.with(metadata) }
            }

            #(#methods)*
        }
    }
}

fn method(service: &Service<'_>, method: &Method<'_>, index: usize) -> TokenStream {
    let Method { model, name, input, output } = method;
    let (table, index) = (&service.table, Literal::usize_unsuffixed(index));
    let about = match model.docs.is_empty() {
        true => doc(format!("Calls the rpc `{}`.", model.name)),
        false => docs(&model.docs),
    };
    let lint = convention(&name.to_string());
    match service.aggregate {
        Some(_) => quote! {
            #about
            #lint
            pub fn #name(&self, command: #input) -> ::es_core::codegen::Call<#output> {
                self.client.command(&#table[#index], command)
            }
        },
        None => quote! {
            #about
            #lint
            pub fn #name(&self, request: #input) -> ::es_core::codegen::Query<#output> {
                self.client.query(&#table[#index], request)
            }
        },
    }
}
