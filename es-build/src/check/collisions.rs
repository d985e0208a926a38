//! Names that are different in proto and the same in Rust, or taken by what is generated.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Products, Report, aggregates::Linked};
use crate::{
    diagnostic::Span,
    model::declared::{Enumeration, Message, Protos},
    names::{ProtoName, camel_part, enum_variant, to_snake, to_upper_camel},
};

/// Names in one Rust module, each with what it belongs to.
#[derive(Default)]
struct Scope {
    taken: HashMap<String, String>,
}

impl Scope {
    /// Takes a name, or reports what has it already.
    fn take(&mut self, name: String, owner: String, span: &Span, report: &mut Report<'_>) {
        match self.taken.get(&name) {
            Some(first) => {
                let text = format!("{owner} and {first} are both called `{name}` in Rust; rename one of them");
                report.error(span, text);
            }
            None => {
                self.taken.insert(name, owner);
            }
        }
    }
}

/// The types in each module: by package, then by the messages around it.
type Types<'a> = BTreeMap<(&'a str, &'a [String]), Scope>;

/// Checks every module, message, aggregate and service.
pub(super) fn check(protos: &Protos, linked: &[Linked], products: Products, report: &mut Report<'_>) {
    packages(protos, report);
    let mut types = Types::new();
    messages(protos, &mut types, report);
    aggregates(protos, linked, &mut types, report);
    services(protos, products, &mut types, report);
    methods(protos, products, report);
}

fn messages<'a>(protos: &'a Protos, types: &mut Types<'a>, report: &mut Report<'_>) {
    for message in protos.messages.iter().filter(|message| !message.external) {
        let scope = types.entry(message.name.module()).or_default();
        let owner = format!("message `{}`", message.name);
        scope.take(to_upper_camel(message.name.simple()), owner, &message.span, report);
        fields(message, report);
    }
    for enumeration in protos.enums.iter().filter(|enumeration| !enumeration.external) {
        let scope = types.entry(enumeration.name.module()).or_default();
        let owner = format!("enum `{}`", enumeration.name);
        scope.take(to_upper_camel(enumeration.name.simple()), owner, &enumeration.span, report);
        values(enumeration, report);
    }
}

fn aggregates<'a>(protos: &Protos, linked: &'a [Linked], types: &mut Types<'a>, report: &mut Report<'_>) {
    let mut seen = HashSet::new();
    for linked in linked.iter().filter(|linked| !linked.aggregate.external) {
        let (package, name) = (linked.aggregate.package(), &linked.aggregate.name);
        // Two aggregates of one name are reported as such.
        if !seen.insert((package, name)) {
            continue;
        }
        let scope = types.entry((package, &[])).or_default();
        for (suffix, what) in [("Event", "enum of the events"), ("Repository", "repository"), ("Hooks", "hooks")] {
            let generated = camel_part(name) + suffix;
            let span = clash(protos, package, &generated).unwrap_or(&linked.span);
            scope.take(generated, format!("the {what} of aggregate `{name}`"), span, report);
        }
    }
}

fn services<'a>(protos: &'a Protos, products: Products, types: &mut Types<'a>, report: &mut Report<'_>) {
    for service in &protos.services {
        let scope = types.entry((&service.package, &[])).or_default();
        let (handler, part) = (to_upper_camel(&service.name), camel_part(&service.name));
        let generated = [
            (products.server, "trait", handler),
            (products.server, "server", format!("{part}Server")),
            (products.client, "client", format!("{part}Client")),
        ];
        for (_, what, name) in generated.into_iter().filter(|(wanted, ..)| *wanted) {
            let span = clash(protos, &service.package, &name).unwrap_or(&service.span);
            scope.take(name, format!("the {what} of service `{}`", service.name), span, report);
        }
    }
}

/// Where the message or enum stands that has a generated name: it is what can be renamed.
fn clash<'a>(protos: &'a Protos, package: &str, generated: &str) -> Option<&'a Span> {
    let messages = protos.messages.iter().map(|message| (&message.name, &message.span));
    let mut all = messages.chain(protos.enums.iter().map(|enumeration| (&enumeration.name, &enumeration.span)));
    let is_it = |name: &ProtoName| {
        name.package == package && name.parts.len() == 1 && to_upper_camel(name.simple()) == generated
    };
    all.find(|(name, _)| is_it(name)).map(|(_, span)| span)
}

fn fields(message: &Message, report: &mut Report<'_>) {
    let mut scope = Scope::default();
    for oneof in &message.oneofs {
        scope.take(to_snake(oneof), format!("oneof `{oneof}`"), &message.span, report);
    }
    let mut cases: HashMap<&str, Scope> = HashMap::new();
    for field in &message.fields {
        match &field.oneof {
            None => scope.take(to_snake(&field.name), format!("field `{}`", field.name), &field.span, report),
            Some(oneof) => {
                let cases = cases.entry(oneof).or_default();
                cases.take(to_upper_camel(&field.name), format!("case `{}`", field.name), &field.span, report);
            }
        }
    }
}

/// Values lose the enum's name where they begin with it, and those of one number are one.
fn values(enumeration: &Enumeration, report: &mut Report<'_>) {
    let mut scope = Scope::default();
    let mut numbers = HashSet::new();
    for value in enumeration.values.iter().filter(|value| numbers.insert(value.number)) {
        let name = enum_variant(enumeration.name.simple(), &value.name);
        scope.take(name, format!("value `{}`", value.name), &value.span, report);
    }
}

fn methods(protos: &Protos, products: Products, report: &mut Report<'_>) {
    for service in &protos.services {
        let mut scope = Scope::default();
        if products.client {
            for name in ["new", "with"] {
                scope.taken.insert(name.to_owned(), format!("the generated client's own `{name}`"));
            }
        }
        for method in &service.methods {
            scope.take(to_snake(&method.name), format!("rpc `{}`", method.name), &method.span, report);
        }
    }
}

/// Modules: a message with nested types is one, and so is every part of a package's name.
fn packages(protos: &Protos, report: &mut Report<'_>) {
    let module = |package: &str| package.split('.').map(to_snake).collect::<Vec<_>>();
    let generated: Vec<&Message> = protos.messages.iter().filter(|message| !message.external).collect();
    let mut by_module: BTreeMap<Vec<String>, &str> = BTreeMap::new();
    for message in &generated {
        let package = message.name.package.as_str();
        match by_module.get(&module(package)) {
            Some(first) if *first != package => {
                let text =
                    format!("packages `{first}` and `{package}` are both module `{}` in Rust; rename one of them", {
                        module(package).join("::")
                    });
                report.error(&message.span, text);
            }
            Some(_) => {}
            None => {
                by_module.insert(module(package), package);
            }
        }
    }
    for message in generated.iter().filter(|message| message.name.parts.len() > 1) {
        let mut inner = module(&message.name.package);
        inner.extend(message.name.parts.iter().take(1).map(|name| to_snake(name)));
        if let Some(package) = by_module.iter().find(|(path, _)| path.starts_with(&inner)).map(|(_, package)| package) {
            let text = format!(
                "message `{}` has nested types, which makes it module `{}` in Rust, as package `{package}` is; rename the \
                 message or the package",
                message.name.parts[0],
                inner.join("::")
            );
            report.error(&message.span, text);
        }
    }
}
