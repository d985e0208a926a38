//! Gives each command service its aggregate, and each command its target.

use super::{
    Report,
    aggregates::{Linked, bound_root, named_message},
    by_name::{by_name, forgotten_option},
    suggest::did_you_mean,
    targets::target,
};
use crate::{
    diagnostic::Span,
    model::{
        Aggregate, Method, Service, Target,
        declared::{self, At, Binding, Protos},
    },
};

/// All services.
pub(super) fn link(protos: &Protos, aggregates: &[Linked], report: &mut Report<'_>) -> Vec<Service> {
    let mut services = Vec::new();
    for service in &protos.services {
        let Some(aggregate) = bind(protos, service, aggregates, report) else { continue };
        let methods = service.methods.iter().map(|method| link_method(protos, method, aggregate, report)).collect();
        services.push(Service {
            package: service.package.clone(),
            name: service.name.clone(),
            docs: service.docs.clone(),
            aggregate: aggregate.cloned(),
            methods,
        });
    }
    services
}

fn link_method(
    protos: &Protos,
    method: &declared::Method,
    aggregate: Option<&Aggregate>,
    report: &mut Report<'_>,
) -> Method {
    if method.streaming {
        let text = format!(
            "rpc `{}` is streaming, which commands and queries do not support; remove `stream`, and follow events with a \
             projection",
            method.name
        );
        report.error(&method.span, text);
    }
    let target = match aggregate {
        Some(aggregate) => target(protos, method, aggregate, report),
        None => {
            if let Some(creates) = &method.creates {
                let text = format!(
                    "rpc `{}` takes no command, so `creates` has no meaning; add `option (eventsourcing.service)` to its \
                     service",
                    method.name
                );
                report.error(&creates.span, text);
            }
            Target::None
        }
    };
    Method {
        name: method.name.clone(),
        docs: method.docs.clone(),
        input: method.input.clone(),
        output: method.output.clone(),
        target,
    }
}

/// The aggregate of a service: `None` when it has a mistake, `Some(None)` when it is a query service.
fn bind<'a>(
    protos: &Protos,
    service: &declared::Service,
    aggregates: &'a [Linked],
    report: &mut Report<'_>,
) -> Option<Option<&'a Aggregate>> {
    match &service.binding {
        Binding::Query => Some(None),
        Binding::None => {
            let Some(text) = forgotten_option(protos, service, aggregates) else { return Some(None) };
            report.error(&service.span, text);
            None
        }
        Binding::ByName => by_name(protos, service, aggregates, report),
        Binding::Aggregate { span, name, root } => match bound_root(protos, service) {
            Some(found) => aggregates.iter().map(|linked| &linked.aggregate).find(|a| a.root == *found).map(Some),
            None => {
                let (span, text) = unknown(protos, service, (span, name, root));
                report.error(span, text);
                None
            }
        },
    }
}

/// Why a service names no aggregate root.
fn unknown<'a>(
    protos: &Protos,
    service: &declared::Service,
    (span, name, root): (&'a Span, &'a At<String>, &'a At<String>),
) -> (&'a Span, String) {
    let wanted = if root.is_empty() { name } else { root };
    if wanted.is_empty() {
        let text = format!(
            "service `{}` does not say which aggregate it works on; add `aggregate_name` and `aggregate_root_message`",
            service.name
        );
        return (span, text);
    }
    if let Some(message) = named_message(protos, service, wanted) {
        let text = format!(
            "message `{}` is not an aggregate root; add `option (eventsourcing.aggregate_root) = {{ id_field: \"..\" }}` to it",
            message.name
        );
        return (&wanted.span, text);
    }
    let roots: Vec<String> = protos.messages.iter().filter(|m| m.root.is_some()).map(|m| m.name.full()).collect();
    // A name without a package is compared with names without one.
    let known = roots.iter().map(|full| if wanted.contains('.') { full } else { short(full) });
    let called: Vec<String> =
        roots.iter().filter(|full| short(full) == short(wanted)).map(|full| format!("`{full}`")).collect();
    let what = if root.is_empty() { "aggregate" } else { "root message" };
    if called.len() > 1 {
        let text = format!("several {what}s are called `{}`; say which: {}", short(wanted), called.join(" or "));
        return (&wanted.span, text);
    }
    let hint = match (did_you_mean(wanted, known), called.first()) {
        (_, Some(full)) => format!("; write its full name, {full}"),
        (hint, None) if hint.is_empty() => {
            "; mark one with `option (eventsourcing.aggregate_root)`, and import its file".to_owned()
        }
        (hint, None) => hint,
    };
    (&wanted.span, format!("no {what} is called `{}`{hint}", wanted.value))
}

/// A full name without its package.
fn short(full: &str) -> &str {
    full.rsplit('.').next().unwrap_or(full)
}
