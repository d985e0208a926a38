//! Where in Rust a message is: by prost-build's rules, seen from a module.

use std::collections::BTreeSet;

use quote::quote;
use syn::Type;

use crate::{
    error::{Error, Result},
    load::embedded,
    names::{ProtoName, join_package, to_snake, to_upper_camel},
};

/// The generic parameters of generated items, which a message or service of the same name must not be mistaken for.
const GENERICS: &[&str] = &["A", "B", "F", "S"];

/// Packages and messages that come from elsewhere.
#[derive(Debug)]
pub(crate) struct Paths {
    external: Vec<(String, String)>,
    used: BTreeSet<String>,
}

/// What prost-build maps by itself.
const WELL_KNOWN: &[(&str, &str)] = &[
    (".google.protobuf", "::es_core::codegen::prost_types"),
    (".google.protobuf.BoolValue", "bool"),
    (".google.protobuf.BytesValue", "::es_core::codegen::prost::alloc::vec::Vec<u8>"),
    (".google.protobuf.DoubleValue", "f64"),
    (".google.protobuf.Empty", "()"),
    (".google.protobuf.FloatValue", "f32"),
    (".google.protobuf.Int32Value", "i32"),
    (".google.protobuf.Int64Value", "i64"),
    (".google.protobuf.StringValue", "::es_core::codegen::prost::alloc::string::String"),
    (".google.protobuf.UInt32Value", "u32"),
    (".google.protobuf.UInt64Value", "u64"),
];

/// The package of our own wire types.
pub(crate) const WIRE: (&str, &str) = (".eventsourcing", "::es_core::wire");

impl Paths {
    /// `used` are the bundled packages whose types are needed.
    pub(crate) fn new(given: &[(String, String)], used: &BTreeSet<String>) -> Result<Self> {
        check(given)?;
        let is_given = |path: &str| given.iter().any(|(proto, _)| proto == path);
        let mut external = given.to_vec();
        let mut default = |(proto, rust): &(&str, &str)| {
            if !is_given(proto) {
                external.push(((*proto).to_owned(), (*rust).to_owned()));
            }
        };
        default(&WIRE);
        // Given as a whole, the well-known types are messages like any others.
        if !is_given(".google.protobuf") {
            WELL_KNOWN.iter().for_each(default);
        }
        Ok(Self { external, used: used.clone() })
    }

    /// Whether nothing is generated for a message or enum.
    pub(crate) fn is_external(&self, name: &ProtoName) -> bool {
        self.is_annotation(&name.package) || self.resolve_external(&name.full()).is_some()
    }

    /// Whether a package is of annotations only.
    pub(crate) fn is_annotation(&self, package: &str) -> bool {
        embedded::PACKAGES.contains(&package) && !self.used.contains(package)
    }

    /// The type of a message, seen from the module of a package.
    pub(crate) fn message(&self, from: &str, name: &ProtoName) -> Type {
        let text = self.resolve_external(&name.full()).unwrap_or_else(|| {
            let text = relative(from, &name.package, &name.parts);
            if is_generic(&text) { format!("self::{text}") } else { text }
        });
        parse(&text)
    }

    /// An item that is generated beside a root message: its enum of events, as seen from the module of a package.
    pub(crate) fn beside(&self, from: &str, root: &ProtoName, item: &str) -> Type {
        let elsewhere = self.resolve_external(&join_package(&root.package, item));
        parse(&elsewhere.unwrap_or_else(|| relative(from, &root.package, &[item.to_owned()])))
    }

    fn resolve_external(&self, full_name: &str) -> Option<String> {
        let name = format!(".{full_name}");
        let find = |path: &str| self.external.iter().find(|(proto, _)| proto == path).map(|(_, rust)| rust.as_str());
        if let Some(rust) = find(&name) {
            return Some(rust.to_owned());
        }
        name.rmatch_indices('.').find_map(|(at, _)| {
            let rust = find(&name[..at])?;
            let mut parts: Vec<&str> = name[at + 1..].split('.').collect();
            let own = parts.pop().map(to_upper_camel)?;
            let modules = parts.into_iter().map(to_snake);
            Some(std::iter::once(rust.to_owned()).chain(modules).chain([own]).collect::<Vec<_>>().join("::"))
        })
    }
}

/// Whether an item of the same module, named alone, would be mistaken for a generic parameter.
pub(super) fn is_generic(name: &str) -> bool {
    GENERICS.contains(&name)
}

/// Whether prost-build can use the paths given to the builder.
fn check(given: &[(String, String)]) -> Result<()> {
    for (index, (proto, rust)) in given.iter().enumerate() {
        let wrong = if !proto.starts_with('.') || proto.split('.').skip(1).any(str::is_empty) {
            format!("`{proto}` must be a full proto name with a leading dot, as `.bank.v1`")
        } else if syn::parse_str::<Type>(rust).is_err() {
            format!("`{rust}` is no Rust path, as `::contract::bank::v1` is")
        } else if given[..index].iter().any(|(other, _)| other == proto) {
            format!("`{proto}` is given twice")
        } else {
            continue;
        };
        return Err(Error::Setting(format!("extern_path: {wrong}")));
    }
    Ok(())
}

/// `super::super::domain::v1::Account`: up to what both have in common, then down.
fn relative(from: &str, package: &str, parts: &[String]) -> String {
    let split = |package: &str| package.split('.').filter(|p| !p.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let from = split(from);
    let (own, around) = parts.split_last().map_or((String::new(), parts), |(own, around)| (own.clone(), around));
    let to: Vec<String> = split(package).into_iter().chain(around.iter().cloned()).collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[common..].iter().map(|_| "super".to_owned());
    let down = to[common..].iter().map(|part| to_snake(part));
    up.chain(down).chain([to_upper_camel(&own)]).collect::<Vec<_>>().join("::")
}

fn parse(text: &str) -> Type {
    // Every path given was parsed before, and the rest is made of identifiers.
    syn::parse_str(text).unwrap_or_else(|_| Type::Verbatim(quote!(#text)))
}

/// Whether a type is a plain name, not a path: `AccountEvent`.
#[cfg(test)]
fn shown(ty: &Type) -> String {
    quote!(#ty).to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(given: &[(&str, &str)], from: &str, package: &str, name: &str) -> String {
        let given: Vec<_> = given.iter().map(|(p, r)| ((*p).to_owned(), (*r).to_owned())).collect();
        shown(&Paths::new(&given, &BTreeSet::new()).unwrap().message(from, &ProtoName::new(package, name)))
    }

    #[test]
    fn a_message_is_found_from_every_module() {
        assert_eq!(message(&[], "bank.v1", "bank.v1", "bank.v1.Account"), "Account");
        assert_eq!(message(&[], "bank.v1", "bank.v1", "bank.v1.Account.Opened"), "account::Opened");
        let (service, domain) = ("account.service.v1", "account.domain.v1");
        assert_eq!(message(&[], service, domain, "account.domain.v1.Account"), "super::super::domain::v1::Account");
        assert_eq!(message(&[], "", "a.type", "a.type.X"), "a::r#type::X");
        assert_eq!(message(&[], "a", "a", "a.S"), "self::S");
    }

    #[test]
    fn what_comes_from_elsewhere_is_named_there() {
        assert_eq!(message(&[], "a", "google.protobuf", "google.protobuf.Empty"), "()");
        let timestamp = message(&[], "a", "google.protobuf", "google.protobuf.Timestamp");
        assert_eq!(timestamp, "::es_core::codegen::prost_types::Timestamp");
        assert_eq!(message(&[], "a", "eventsourcing", "eventsourcing.Receipt"), "::es_core::wire::Receipt");
        let given = [(".bank", "::contract::bank")];
        assert_eq!(message(&given, "a", "bank.v1", "bank.v1.Account"), "::contract::bank::v1::Account");
    }

    #[test]
    fn a_wrong_extern_path_is_refused() {
        let wrong = |proto: &str, rust: &str| {
            Paths::new(&[(proto.into(), rust.into())], &BTreeSet::new()).unwrap_err().to_string()
        };
        assert!(wrong("bank.v1", "::x").contains("leading dot"));
        assert!(wrong(".bank.v1", "no path").contains("no Rust path"));
    }
}
