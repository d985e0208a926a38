//! The messages, by prost-build; root messages get `#[derive(Aggregate)]`.

use std::collections::BTreeMap;

use proc_macro2::TokenStream;
use prost_build::{Config, Module};
use quote::quote;
use syn::{Attribute, Item, parse_quote};

use super::{
    ident,
    paths::{Paths, WIRE},
};
use crate::{
    comments,
    error::{Error, Result},
    load::Loaded,
    model::{Aggregate, System},
    names::{camel_part, to_snake, to_upper_camel},
};

/// What is passed on to prost-build.
pub(crate) struct Attributes<'a> {
    pub(crate) extern_paths: &'a [(String, String)],
    pub(crate) types: &'a [(String, String)],
    pub(crate) fields: &'a [(String, String)],
}

/// The messages of every package, by package.
pub(super) fn generate(
    loaded: Loaded,
    system: &System,
    paths: &Paths,
    attributes: &Attributes<'_>,
) -> Result<BTreeMap<String, syn::File>> {
    let mut packages: BTreeMap<Module, String> = BTreeMap::new();
    let mut requests = Vec::new();
    for mut file in loaded.files {
        let module = Module::from_protobuf_package_name(file.package());
        packages.insert(module.clone(), file.package().to_owned());
        if let Some(info) = &mut file.source_code_info {
            comments::sanitize(info);
        }
        // Also what is not generated: prost-build wants to see every message it meets.
        requests.push((module, file));
    }
    let generated = config(attributes)
        .generate(requests)
        .map_err(|error| Error::Setting(format!("the messages can't be generated: {error}")))?;
    let mut files = BTreeMap::new();
    for (module, text) in generated {
        let Some(package) = packages.get(&module) else { continue };
        if !paths.is_annotation(package) {
            let mut file = syn::parse_file(&text).map_err(|error| not_rust(&error))?;
            derive_debug(&mut file.items);
            files.insert(package.clone(), file);
        }
    }
    for aggregate in system.aggregates.iter().filter(|aggregate| !aggregate.external) {
        if let Some(file) = files.get_mut(aggregate.package()) {
            derive_aggregate(file, aggregate);
        }
        describe_old_events(&mut files, aggregate);
    }
    files.retain(|_, file| !file.items.is_empty());
    Ok(files)
}

fn config(attributes: &Attributes<'_>) -> Config {
    let mut config = Config::new();
    config.prost_path("::es_core::codegen::prost").prost_types_path("::es_core::codegen::prost_types").btree_map(["."]);
    let given = |path: &str| attributes.extern_paths.iter().any(|(proto, _)| proto == path);
    if given(".google.protobuf") {
        config.compile_well_known_types();
    }
    if !given(WIRE.0) {
        config.extern_path(WIRE.0, WIRE.1);
    }
    for (proto, rust) in attributes.extern_paths {
        config.extern_path(proto, rust);
    }
    for (path, attribute) in attributes.types {
        config.type_attribute(path, attribute);
    }
    for (path, attribute) in attributes.fields {
        config.field_attribute(path, attribute);
    }
    config
}

/// An attribute given to the builder can be any text.
fn not_rust(error: &syn::Error) -> Error {
    Error::Setting(format!("the generated code is not valid Rust; check the attributes given to the builder: {error}"))
}

/// Messages with maps get the usual `Debug`: prost's own names `::prost` for them, whatever path it is told, and the
/// user need not have it.
fn derive_debug(items: &mut [Item]) {
    for item in items {
        match item {
            Item::Struct(item) if item.fields.iter().any(is_map) => {
                item.attrs.insert(docs_of(&item.attrs), parse_quote!(#[derive(Debug)]));
                item.attrs.push(parse_quote!(#[prost(skip_debug)]));
            }
            Item::Mod(module) => {
                if let Some((_, items)) = &mut module.content {
                    derive_debug(items);
                }
            }
            _ => {}
        }
    }
}

fn is_map(field: &syn::Field) -> bool {
    let mut attributes = field.attrs.iter().filter(|attribute| attribute.path().is_ident("prost"));
    attributes.any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.tokens.to_string().starts_with("btree_map"),
        _ => false,
    })
}

/// A package without messages.
pub(super) fn empty() -> syn::File {
    syn::File { shebang: None, frontmatter: None, attrs: Vec::new(), items: Vec::new() }
}

/// Our own items.
pub(super) fn items(tokens: TokenStream) -> Result<Vec<Item>> {
    syn::parse2::<syn::File>(tokens).map(|file| file.items).map_err(|error| not_rust(&error))
}

/// Adds the derive to the root message, and what it needs to know.
fn derive_aggregate(file: &mut syn::File, aggregate: &Aggregate) {
    let Some(attributes) = find_struct(&mut file.items, &aggregate.root.parts) else { return };
    let up = aggregate.root.parts.iter().skip(1).map(|_| quote!(super::));
    let event = ident(&format!("{}Event", camel_part(&aggregate.name)));
    let stream_type = &aggregate.stream_type;
    let after_docs = docs_of(attributes);
    let added: [Attribute; 2] = [
        parse_quote!(#[derive(::es_core::codegen::Aggregate)]),
        parse_quote!(#[aggregate(event = #(#up)* #event, type = #stream_type, snapshot = prost)]),
    ];
    attributes.splice(after_docs..after_docs, added);
}

/// Says of each older event which one to use instead: it is no event of the enum, and an applier or hook can't take it.
fn describe_old_events(files: &mut BTreeMap<String, syn::File>, aggregate: &Aggregate) {
    for old in aggregate.old_events.iter().filter(|event| !event.external) {
        let name = old.message.full();
        let Some(newest) = aggregate.events.iter().find(|event| event.all_types().any(|t| *t == name)) else {
            continue;
        };
        let Some(file) = files.get_mut(&old.message.package) else { continue };
        let Some(attributes) = find_struct(&mut file.items, &old.message.parts) else { continue };
        let newest = &newest.message;
        let text = format!(" Older form of `{newest}`: only read, never emitted; handle `{}`.", newest.simple());
        let after_docs = docs_of(attributes);
        let empty = (after_docs > 0).then(|| parse_quote!(#[doc = ""]));
        let added: [Attribute; 1] = [parse_quote!(#[doc = #text])];
        attributes.splice(after_docs..after_docs, empty.into_iter().chain(added));
    }
}

/// How many attributes are documentation, which prost-build writes first.
fn docs_of(attributes: &[Attribute]) -> usize {
    attributes.iter().take_while(|attribute| attribute.path().is_ident("doc")).count()
}

/// The attributes of a message's struct, in the modules of the messages around it.
fn find_struct<'a>(items: &'a mut [Item], parts: &[String]) -> Option<&'a mut Vec<Attribute>> {
    let (outer, inner) = parts.split_first()?;
    if inner.is_empty() {
        let own = to_upper_camel(outer);
        return items.iter_mut().find_map(|item| match item {
            Item::Struct(item) if item.ident == own => Some(&mut item.attrs),
            _ => None,
        });
    }
    items.iter_mut().find_map(|item| match item {
        Item::Mod(module) if module.ident == ident(&to_snake(outer)) => {
            find_struct(&mut module.content.as_mut()?.1, inner)
        }
        _ => None,
    })
}
