//! Gives each command service its aggregate, and each command its target.

use super::{
    Report,
    aggregates::{Linked, bound_root, named_message},
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
            "rpc `{}` streams, which commands and queries do not; remove `stream`, and follow events with a projection",
            method.name
        );
        report.error(&method.span, text);
    }
    let target = match aggregate {
        Some(aggregate) => target(protos, method, aggregate, report),
        None => {
            if let Some(creates) = &method.creates {
                let text = format!(
                    "rpc `{}` belongs to no aggregate, so it can't say `creates`; add `option (eventsourcing.service)` \
                     to its service",
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
            "message `{}` is no aggregate root; add `option (eventsourcing.aggregate_root) = {{ id_field: \"..\" }}` to it",
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

/// The aggregate whose name the service's own begins with; of several the longest, then the one in its package.
fn by_name<'a>(
    protos: &Protos,
    service: &declared::Service,
    aggregates: &'a [Linked],
    report: &mut Report<'_>,
) -> Option<Option<&'a Aggregate>> {
    let visible = protos.visible.get(&service.file).map_or(&[][..], Vec::as_slice);
    let begins = |linked: &&Linked| {
        let rest = service.name.strip_prefix(linked.aggregate.name.as_str());
        // "AccountingService" does not begin with the word "Account".
        rest.is_some_and(|rest| !rest.starts_with(char::is_lowercase))
    };
    let can_see = |linked: &&Linked| linked.aggregate.package() == service.package || visible.contains(&linked.file);
    let mut found: Vec<&Linked> = aggregates.iter().filter(begins).filter(can_see).collect();
    let longest = found.iter().map(|linked| linked.aggregate.name.len()).max().unwrap_or(0);
    found.retain(|linked| linked.aggregate.name.len() == longest);
    if let Some(own) = found.iter().find(|linked| linked.aggregate.package() == service.package) {
        return Some(Some(&own.aggregate));
    }
    match found[..] {
        [] => Some(None),
        [one] => Some(Some(&one.aggregate)),
        _ => {
            let names: Vec<String> = found.iter().map(|linked| format!("`{}`", linked.aggregate.root)).collect();
            let text = format!(
                "service `{}` could work on {}; say which with `option (eventsourcing.service)`",
                service.name,
                names.join(" or ")
            );
            report.error(&service.span, text);
            None
        }
    }
}
