//! Names: full proto names, and the Rust names prost-build makes of them.

use std::fmt;

use heck::{ToSnakeCase, ToUpperCamelCase};

/// The full name of a message: its package, then the messages it is nested in, then its own name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ProtoName {
    pub(crate) package: String,
    /// Never empty; more than one part for a nested message.
    pub(crate) parts: Vec<String>,
}

impl ProtoName {
    pub(crate) fn new(package: &str, full_name: &str) -> Self {
        let relative = match package {
            "" => full_name,
            _ => full_name.strip_prefix(package).map_or(full_name, |rest| rest.trim_start_matches('.')),
        };
        Self { package: package.to_owned(), parts: relative.split('.').map(str::to_owned).collect() }
    }

    /// The message's own name.
    pub(crate) fn simple(&self) -> &str {
        self.parts.last().map_or("", String::as_str)
    }

    /// The module it stands in: the package, and the messages around it.
    pub(crate) fn module(&self) -> (&str, &[String]) {
        (&self.package, self.parts.split_last().map_or(&[], |(_, around)| around))
    }

    /// The name with the package: "bank.v1.Account".
    pub(crate) fn full(&self) -> String {
        join_package(&self.package, &self.parts.join("."))
    }
}

impl fmt::Display for ProtoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full())
    }
}

/// "bank.v1" and "Account" -> "bank.v1.Account"; a file may have no package.
pub(crate) fn join_package(package: &str, name: &str) -> String {
    if package.is_empty() { name.to_owned() } else { format!("{package}.{name}") }
}

/// The name of a field, method or module, escaped where it is a keyword: "r#type".
pub(crate) fn to_snake(name: &str) -> String {
    escape(name.to_snake_case())
}

/// The name of a type or variant: "HTTPThing" -> "HttpThing".
pub(crate) fn to_upper_camel(name: &str) -> String {
    escape(name.to_upper_camel_case())
}

/// The variant of an enum's value: "CART_STATUS_OPEN" of `CartStatus` -> "Open".
pub(crate) fn enum_variant(enumeration: &str, value: &str) -> String {
    let name = to_upper_camel(value);
    match name.strip_prefix(&to_upper_camel(enumeration)) {
        Some(rest) if rest.starts_with(char::is_uppercase) => escape(rest.to_owned()),
        _ => name,
    }
}

/// The name's camel form as the start of a longer identifier, where keywords need no escape.
pub(crate) fn camel_part(name: &str) -> String {
    let camel = name.to_upper_camel_case();
    if camel.starts_with(char::is_numeric) { format!("_{camel}") } else { camel }
}

/// The name of a constant.
pub(crate) fn to_constant(name: &str) -> String {
    name.to_snake_case().to_uppercase()
}

/// The name's snake form as a part of a longer identifier, where keywords need no escape.
pub(crate) fn snake_part(name: &str) -> String {
    name.to_snake_case()
}

/// Escapes as prost-build does, so that our names are the ones it gives to the messages.
fn escape(name: String) -> String {
    match name.as_str() {
        "as" | "break" | "const" | "continue" | "else" | "enum" | "false" | "fn" | "for" | "if" | "impl" | "in"
        | "let" | "loop" | "match" | "mod" | "move" | "mut" | "pub" | "ref" | "return" | "static" | "struct"
        | "trait" | "true" | "type" | "unsafe" | "use" | "where" | "while" | "dyn" | "abstract" | "become" | "box"
        | "do" | "final" | "macro" | "override" | "priv" | "typeof" | "unsized" | "virtual" | "yield" | "async"
        | "await" | "try" | "gen" => format!("r#{name}"),
        "_" | "super" | "self" | "Self" | "extern" | "crate" => format!("{name}_"),
        _ if name.starts_with(char::is_numeric) => format!("_{name}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_prost_build() {
        assert_eq!(to_upper_camel("HTTPThing"), "HttpThing");
        assert_eq!(to_upper_camel("self"), "Self_");
        assert_eq!(to_snake("Type"), "r#type");
        assert_eq!(to_snake("GetHTTPThing"), "get_http_thing");
        assert_eq!(to_snake("Self"), "self_");
        assert_eq!(to_snake("2fa"), "_2fa");
    }

    #[test]
    fn a_value_loses_the_name_of_its_enum_where_a_name_is_left() {
        assert_eq!(enum_variant("CartStatus", "CART_STATUS_OPEN"), "Open");
        assert_eq!(enum_variant("Cart", "CART"), "Cart");
        assert_eq!(enum_variant("Cart", "CARTED"), "Carted");
        assert_eq!(enum_variant("Cart", "CART_SELF"), "Self_");
    }

    #[test]
    fn a_nested_message_keeps_the_messages_it_is_in() {
        let name = ProtoName::new("bank.v1", "bank.v1.Outer.Inner");
        assert_eq!((name.simple(), name.parts.len()), ("Inner", 2));
        assert_eq!(name.full(), "bank.v1.Outer.Inner");
        assert_eq!(ProtoName::new("", "Plain").full(), "Plain");
    }
}
