//! The server: takes requests, and hands them decoded to the trait.

use proc_macro2::{Literal, TokenStream};
use quote::quote;
use syn::Type;

use super::{
    super::{doc, ident, paths::is_generic},
    Method, Service,
};
use crate::{
    model::{IdField, Target},
    names::{camel_part, to_snake},
};

/// `pub struct AccountCommandServiceServer`
pub(super) fn server(service: &Service<'_>) -> TokenStream {
    let Service { name, table, full_name, .. } = service;
    let server = ident(&format!("{}Server", camel_part(&service.model.name)));
    let about = doc(format!("Serves `{full_name}` with an implementation of [`{name}`]."));
    let arms = service.methods.iter().enumerate().map(|(index, method)| arm(service, method, index));
    let parts = Parts::new(service);
    let Parts { fields, arguments, names, declared, plain, used, served, bound } = &parts;
    quote! {
        #about
        #[derive(Debug)]
        pub struct #server<S #declared> { #fields }

        impl<S #plain> #server<S #used> {
            /// Full name of the service.
            pub const NAME: &'static str = #full_name;

            /// A server that answers with `service`.
            pub fn new(#arguments) -> Self { Self { #names } }
        }

        impl<S: #bound #served> ::es_core::codegen::Service for #server<S #used> {
            fn methods(&self) -> &'static [::es_core::codegen::MethodInfo] { #table }

            fn name(&self) -> &'static str { Self::NAME }

            fn call(&self, request: ::es_core::codegen::Request)
                -> ::es_core::codegen::BoxFuture<
                    '_,
                    ::core::result::Result<::es_core::codegen::Response, ::es_core::codegen::Error>,
                >
            {
                ::std::boxed::Box::pin(async move {
                    match request.method() {
                        #(#arms)*
                        other => Err(::es_core::codegen::unknown_method(Self::NAME, other)),
                    }
                })
            }
        }
    }
}

/// What differs between the server of commands and that of queries.
struct Parts {
    fields: TokenStream,
    arguments: TokenStream,
    names: TokenStream,
    /// The state's parameter where the struct is declared, where it is implemented, and where it is named.
    declared: TokenStream,
    plain: TokenStream,
    used: TokenStream,
    /// The state's parameter where requests are served.
    served: TokenStream,
    /// The trait of the service.
    bound: TokenStream,
}

impl Parts {
    fn new(service: &Service<'_>) -> Self {
        let name = &service.name;
        let name = if is_generic(&name.to_string()) { quote!(self::#name) } else { quote!(#name) };
        let Some(root) = &service.aggregate else {
            return Self {
                fields: quote!(service: S),
                arguments: quote!(service: S),
                names: quote!(service),
                declared: TokenStream::new(),
                plain: TokenStream::new(),
                used: TokenStream::new(),
                served: TokenStream::new(),
                bound: quote!(#name),
            };
        };
        let (ty, events, state) = (&root.ty, &root.events, service.state(false));
        Self {
            fields: quote!(service: S, repository: ::es_core::codegen::Repository<A>),
            arguments: quote!(service: S, repository: ::es_core::codegen::Repository<A>),
            names: quote!(service, repository),
            declared: quote!(, #state = #ty),
            plain: quote!(, #state),
            used: quote!(, A),
            served: quote!(, A: ::es_core::codegen::Applier<Event = #events>),
            bound: quote!(#name<A>),
        }
    }
}

/// What happens to the request of one rpc.
fn arm(service: &Service<'_>, method: &Method<'_>, index: usize) -> TokenStream {
    let Method { model, name, .. } = method;
    let (table, rpc, index) = (&service.table, &model.name, Literal::usize_unsuffixed(index));
    // A message that is `()` is written out: a call's unit value as an argument reads like a mistake, to clippy too.
    let is_unit = matches!(&method.input, Type::Tuple(tuple) if tuple.elems.is_empty());
    if service.aggregate.is_none() {
        let (of_unit, query) = if is_unit { (quote!(::<()>), quote!(())) } else { (quote!(), quote!(call.query())) };
        return quote! {
            #rpc => {
                let call = ::es_core::codegen::QueryCall #of_unit::receive(request, &#table[#index])?;
                let answered = ::es_core::codegen::guard(self.service.#name(#query, call.context())).await;
                call.respond(answered)
            }
        };
    }
    let target = target(method);
    let (of_unit, command) = if is_unit { (quote!(::<A, ()>), quote!(())) } else { (quote!(), quote!(call.command())) };
    quote! {
        #rpc => {
            let mut call = ::es_core::codegen::CommandCall #of_unit::receive(&self.repository, request, &#table[#index], #target)?;
            loop {
                let (mut root, context) = match call.begin().await {
                    Ok(begun) => begun,
                    Err(error) => return call.recorded_or(error).await,
                };
                let decided = ::es_core::codegen::guard(self.service.#name(&mut root, #command, &context)).await;
                if let Some(response) = call.commit(root, context, decided).await? {
                    return Ok(response);
                }
            }
        }
    }
}

fn target(method: &Method<'_>) -> TokenStream {
    let input = &method.input;
    let read = |field: &IdField| {
        let name = ident(&to_snake(&field.name));
        if field.optional {
            quote!(|command: &#input| command.#name())
        } else {
            quote!(|command: &#input| &command.#name)
        }
    };
    match &method.model.target {
        Target::Existing(field) => {
            let read = read(field);
            quote!(::es_core::codegen::Target::Existing(#read))
        }
        Target::Create(field) => {
            let read = read(field);
            quote!(::es_core::codegen::Target::Create(#read))
        }
        Target::Mint | Target::None => quote!(::es_core::codegen::Target::Mint),
    }
}
