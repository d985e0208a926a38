//! Services whose aggregate follows from their name: `AccountCommandService` works on `Account`.

use super::{Report, aggregates::Linked};
use crate::model::{
    Aggregate,
    declared::{Protos, Service},
};

/// The aggregate of a service that names none: `None` when it could be one of several, `Some(None)` when there is none.
pub(super) fn by_name<'a>(
    protos: &Protos,
    service: &Service,
    aggregates: &'a [Linked],
    report: &mut Report<'_>,
) -> Option<Option<&'a Aggregate>> {
    match candidates(service, &visible(protos, service, aggregates))[..] {
        [] => Some(None),
        [one] => Some(Some(&one.aggregate)),
        ref several => {
            let names: Vec<String> = several.iter().map(|linked| format!("`{}`", linked.aggregate.root)).collect();
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

/// The mistake of a service without any option whose name says that it takes commands. Without an aggregate in sight
/// there is none: the service may take commands that are not event-sourced.
pub(super) fn forgotten_option(protos: &Protos, service: &Service, aggregates: &[Linked]) -> Option<String> {
    let visible = visible(protos, service, aggregates);
    if visible.is_empty() || !service.name.ends_with("CommandService") {
        return None;
    }
    let (name, root) = match candidates(service, &visible)[..] {
        [Linked { aggregate, .. }] if aggregate.package() == service.package => {
            (aggregate.name.as_str(), aggregate.root.parts.join("."))
        }
        [Linked { aggregate, .. }] => (aggregate.name.as_str(), aggregate.root.full()),
        _ => ("..", "..".to_owned()),
    };
    Some(format!(
        "service `{}` does not say which aggregate it works on; add `option (eventsourcing.service) = {{ \
         aggregate_name: \"{name}\" aggregate_root_message: \"{root}\" }};`, or `option (cqrs.service) = {{ \
         service_type: SERVICE_TYPE_QUERY }};` if it works on none",
        service.name
    ))
}

/// The aggregates of the service's package and of the files it imports.
fn visible<'a>(protos: &Protos, service: &Service, aggregates: &'a [Linked]) -> Vec<&'a Linked> {
    let files = protos.visible.get(&service.file).map_or(&[][..], Vec::as_slice);
    let is_visible = |linked: &&Linked| linked.aggregate.package() == service.package || files.contains(&linked.file);
    aggregates.iter().filter(is_visible).collect()
}

/// Those whose name the service's own begins with; of several the longest, then the one in its package.
fn candidates<'a>(service: &Service, aggregates: &[&'a Linked]) -> Vec<&'a Linked> {
    let begins = |linked: &&&Linked| {
        let rest = service.name.strip_prefix(linked.aggregate.name.as_str());
        // "AccountingService" does not begin with the word "Account".
        rest.is_some_and(|rest| !rest.starts_with(char::is_lowercase))
    };
    let mut found: Vec<&Linked> = aggregates.iter().filter(begins).copied().collect();
    let longest = found.iter().map(|linked| linked.aggregate.name.len()).max().unwrap_or(0);
    found.retain(|linked| linked.aggregate.name.len() == longest);
    match found.iter().find(|linked| linked.aggregate.package() == service.package) {
        Some(own) => vec![own],
        None => found,
    }
}
