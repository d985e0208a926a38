//! The trait a service is implemented by.

use proc_macro2::TokenStream;
use quote::quote;

use super::{
    super::{doc, docs},
    Method, Service,
};

/// `pub trait AccountCommandService`
pub(super) fn handler(service: &Service<'_>) -> TokenStream {
    let name = &service.name;
    let about = match service.model.docs.is_empty() {
        true => doc(format!("The service `{}`.", service.full_name)),
        false => docs(&service.model.docs),
    };
    let methods = service.methods.iter().map(|method| self::method(service, method));
    let generics = service.aggregate.as_ref().map(|root| {
        let (state, ty) = (service.state(true), &root.ty);
        quote!(<#state = #ty>)
    });
    quote! {
        #about
        pub trait #name #generics: ::core::marker::Send + ::core::marker::Sync + 'static { #(#methods)* }
    }
}

fn method(service: &Service<'_>, method: &Method<'_>) -> TokenStream {
    let Method { model, name, input, output } = method;
    let about = match model.docs.is_empty() {
        true => doc(format!("The rpc `{}`.", model.name)),
        false => docs(&model.docs),
    };
    let lint = convention(&name.to_string());
    let arguments = match &service.aggregate {
        Some(root) => {
            let argument = &root.argument;
            quote!(
                #argument: &mut ::es_core::codegen::Root<A>,
                command: #input,
                context: &::es_core::codegen::CommandContext
            )
        }
        None => quote!(request: #input, context: &::es_core::codegen::QueryContext),
    };
    quote! {
        #about
        #lint
        fn #name(&self, #arguments)
            -> impl ::core::future::Future<Output = ::core::result::Result<#output, ::es_core::codegen::AppError>>
            + ::core::marker::Send;
    }
}

/// An rpc is called as its author likes, also `FromTemplate`.
pub(super) fn convention(name: &str) -> Option<TokenStream> {
    let conventional = ["from_", "into_"].iter().any(|prefix| name.starts_with(prefix));
    conventional.then(|| quote!(#[allow(clippy::wrong_self_convention)]))
}
