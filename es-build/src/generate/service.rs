//! A service: the trait to implement, the server that calls it, and the client.

mod client;
mod handler;
mod server;

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::Type;

use super::{ident, paths::Paths};
use crate::{
    check::Products,
    model,
    names::{join_package, snake_part, to_constant, to_snake, to_upper_camel},
};

/// Everything of one service.
pub(super) fn service(service: &model::Service, paths: &Paths, products: Products) -> TokenStream {
    if service.methods.is_empty() || !(products.server || products.client) {
        return TokenStream::new();
    }
    let service = Service::new(service, paths);
    let methods = service.method_table();
    let server = products.server.then(|| {
        let (handler, server) = (handler::handler(&service), server::server(&service));
        quote!(#handler #server)
    });
    let client = products.client.then(|| client::client(&service));
    quote!(#methods #server #client)
}

/// A service with the Rust names of all it is made of.
struct Service<'a> {
    model: &'a model::Service,
    /// `AccountCommandService`
    name: Ident,
    /// "bank.v1.AccountCommandService"
    full_name: String,
    /// `ACCOUNT_COMMAND_SERVICE_METHODS`
    table: Ident,
    aggregate: Option<Root>,
    methods: Vec<Method<'a>>,
}

/// The aggregate of a command service.
struct Root {
    /// `Account`
    ty: Type,
    /// `AccountEvent`
    events: Type,
    /// `account`, what the trait calls the loaded aggregate
    argument: Ident,
}

/// One rpc.
struct Method<'a> {
    model: &'a model::Method,
    name: Ident,
    input: Type,
    output: Type,
}

impl<'a> Service<'a> {
    fn new(service: &'a model::Service, paths: &Paths) -> Self {
        let package = service.package.as_str();
        let method = |method: &'a model::Method| Method {
            model: method,
            name: ident(&to_snake(&method.name)),
            input: paths.message(package, &method.input),
            output: paths.message(package, &method.output),
        };
        let aggregate = service.aggregate.as_ref().map(|aggregate| Root {
            ty: paths.message(package, &aggregate.root),
            events: paths.beside(package, &aggregate.root, &super::events::enum_name(aggregate)),
            argument: argument(&aggregate.name),
        });
        Self {
            model: service,
            name: ident(&to_upper_camel(&service.name)),
            full_name: join_package(package, &service.name),
            table: ident(&format!("{}_METHODS", to_constant(&service.name))),
            aggregate,
            methods: service.methods.iter().map(method).collect(),
        }
    }

    /// What server and client know of each rpc.
    fn method_table(&self) -> TokenStream {
        let Self { table, full_name, .. } = self;
        let entries = self.methods.iter().map(|method| {
            let (name, input, output) = (&method.model.name, method.model.input.full(), method.model.output.full());
            quote!(::es_core::codegen::MethodInfo {
                service: #full_name,
                name: #name,
                input: #input,
                output: #output,
            })
        });
        quote!(const #table: &[::es_core::codegen::MethodInfo] = &[#(#entries),*];)
    }

    /// The generic state that stands in for the root message, with a bound: `<A: Aggregate<Event = AccountEvent>>`.
    fn state(&self, of_events: bool) -> Option<TokenStream> {
        let Root { events, .. } = self.aggregate.as_ref()?;
        let events = of_events.then(|| quote!(<Event = #events>));
        Some(quote!(A: ::es_core::codegen::Aggregate #events))
    }
}

/// The aggregate's name as a parameter, unless another has it.
fn argument(aggregate: &str) -> Ident {
    match snake_part(aggregate).as_str() {
        "command" | "context" => ident("root"),
        _ => ident(&to_snake(aggregate)),
    }
}
