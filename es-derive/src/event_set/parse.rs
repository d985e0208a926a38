//! From the derive's input to the [`model`](super::model), with every mistake noted.

use quote::quote;
use syn::ext::IdentExt as _;
use syn::{Data, DeriveInput, Fields, LitStr, Type, Variant};

use super::model::{Event, EventSet};
use crate::attribute::{self, Slot};
use crate::carried::lints;
use crate::errors::Errors;
use crate::name::stored_name;

/// The model of the variants that could be read; `None` where no impl can be written at all.
pub(super) fn parse<'a>(input: &'a DeriveInput, errors: &mut Errors) -> Option<EventSet<'a>> {
    let mut package = Package::read(input, errors);
    if !input.generics.params.is_empty() {
        errors.at(&input.generics, "an event set can't be generic: its events are stored by name");
        return None;
    }
    let Data::Enum(data) = &input.data else {
        errors.at(&input.ident, "an event set is an enum of one variant per event: `AccountOpened(AccountOpened)`");
        return None;
    };
    if data.variants.is_empty() {
        errors.at(&input.ident, "an event set has at least one event: `AccountOpened(AccountOpened)`");
    }
    let events = data.variants.iter().filter_map(|variant| event(variant, &mut package, errors)).collect();
    if let Package::Missed = package {
        errors.at(
            &input.ident,
            "an event set needs the package its events are stored under: `#[events(package = \"bank.v1\")]`; \
             stored names must survive renames in the code, so they are not derived from the code",
        );
    }
    let attributes = data.variants.iter().flat_map(|variant| &variant.attrs).chain(&input.attrs).cloned();
    Some(EventSet { name: &input.ident, lints: lints(&attributes.collect::<Vec<_>>()), events })
}

/// The one key of `#[events(..)]`.
enum Package {
    Given(String),
    /// Given, but reported as unusable.
    Unusable,
    /// Not given, and so far not needed.
    Absent,
    /// Not given, but needed.
    Missed,
}

impl Package {
    fn read(input: &DeriveInput, errors: &mut Errors) -> Self {
        let mut package = Slot::new("package");
        let is_complete = attribute::read_all(&input.attrs, "events", errors, |meta, errors| {
            if !meta.path.is_ident("package") {
                return attribute::unknown(meta, "`package`", errors);
            }
            let name = attribute::string(meta, "the package is a string: `package = \"bank.v1\"`", errors)?;
            package.set(meta, name, errors);
            Ok(())
        });
        if !package.is_given() && is_complete {
            return Self::Absent;
        }
        let name = package.value().and_then(|name| stored_name(&name, "the package", "bank.v1", errors));
        name.map_or(Self::Unusable, Self::Given)
    }

    /// The name of a variant's event in this package.
    fn stored_name(&mut self, variant: &Variant) -> Option<LitStr> {
        match self {
            Self::Given(package) => {
                Some(LitStr::new(&format!("{package}.{}", variant.ident.unraw()), variant.ident.span()))
            }
            Self::Unusable => None,
            Self::Absent | Self::Missed => {
                *self = Self::Missed;
                None
            }
        }
    }
}

fn event<'a>(variant: &'a Variant, package: &mut Package, errors: &mut Errors) -> Option<Event<'a>> {
    let Keys { stored_as, version, aliases, are_complete } = Keys::read(variant, errors);
    let payload = payload(variant, errors);
    let stored_as = if stored_as.is_given() || !are_complete {
        let is_usable = |name: &LitStr| stored_name(name, "the event type", "bank.v1.AccountOpened", errors).is_some();
        stored_as.value().filter(is_usable)
    } else {
        package.stored_name(variant)
    };
    let mut aliases = aliases.value().unwrap_or_default();
    aliases.retain(|alias| stored_name(alias, "an alias", "bank.v1.Opened", errors).is_some());
    Some(Event { variant: &variant.ident, payload: payload?, stored_as: stored_as?, version: version.value(), aliases })
}

/// The one type inside a variant.
fn payload<'a>(variant: &'a Variant, errors: &mut Errors) -> Option<&'a Type> {
    let (name, fields) = (&variant.ident, &variant.fields);
    if let Fields::Unnamed(fields) = fields
        && let Some(field) = fields.unnamed.first()
        && fields.unnamed.len() == 1
    {
        return Some(&field.ty);
    }
    errors.at(
        quote!(#name #fields),
        format_args!("a variant holds one event, which is a separate struct: `{name}({name})`"),
    );
    None
}

/// The keys of `#[event(..)]`, as far as they can be read.
struct Keys {
    stored_as: Slot<LitStr>,
    version: Slot<u32>,
    aliases: Slot<Vec<LitStr>>,
    /// Whether there is nothing that could not be read.
    are_complete: bool,
}

impl Keys {
    fn read(variant: &Variant, errors: &mut Errors) -> Self {
        let mut keys = Self {
            stored_as: Slot::new("type"),
            version: Slot::new("version"),
            aliases: Slot::new("aliases"),
            are_complete: true,
        };
        keys.are_complete = attribute::read_all(&variant.attrs, "event", errors, |meta, errors| {
            if meta.path.is_ident("type") {
                let wanted = "the event type is a string: `type = \"bank.v1.AccountOpened\"`";
                let name = attribute::string(meta, wanted, errors)?;
                keys.stored_as.set(meta, name, errors);
            } else if meta.path.is_ident("version") {
                let version = attribute::version(meta, "version", errors)?;
                keys.version.set(meta, version, errors);
            } else if meta.path.is_ident("aliases") {
                let wanted = "aliases are former full names, in parentheses: `aliases(\"bank.v1.Opened\")`";
                let names = attribute::strings(meta, wanted, errors)?;
                keys.aliases.set(meta, Some(names), errors);
            } else {
                attribute::unknown(meta, "`type`, `version` or `aliases`", errors)?;
            }
            Ok(())
        });
        keys
    }
}
