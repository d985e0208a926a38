//! The subject an event is published under, and the subjects that cover a filter.

use std::collections::BTreeSet;

use es_core::{Error, EventMeta, Filter, Result};

use crate::escape::token;

/// What the subjects of events begin with, unless another prefix is set.
pub(crate) const PREFIX: &str = "evt";

/// So many subjects a consumer is given at most; more of them are covered by fewer that take more.
const MOST: usize = 64;

/// Refuses a prefix that is not made of plain tokens: letters, digits, `-` and `_`, with dots between them.
pub(crate) fn check_prefix(prefix: &str) -> Result<()> {
    match prefix.split('.').all(|part| !part.is_empty() && token(part) == part) {
        true => Ok(()),
        false => Err(Error::InvalidId {
            what: "subject prefix",
            why: format!("`{prefix}` has other parts than letters, digits, `-` and `_`, with a dot between two"),
        }),
    }
}

/// The subject of an event: always five tokens after the prefix.
///
/// `{prefix}.{tenant or %}.{package or %}.{Aggregate}.{Event}.{id}`: package and aggregate are the stream type on both
/// sides of its last dot, the event is the last part of its type's full name.
pub(crate) fn event_subject(prefix: &str, meta: &EventMeta) -> String {
    let stream = &*meta.stream;
    let (package, aggregate) = package_and_name(&stream.stream_type);
    let tenant = stream.tenant.as_ref().map_or("", |tenant| tenant.as_str());
    let (_, event) = package_and_name(&meta.event_type);
    let tokens = [tenant, package, aggregate, event, stream.id.as_str()].map(token);
    let length = prefix.len() + tokens.iter().map(|token| token.len() + 1).sum::<usize>();
    let mut subject = String::with_capacity(length);
    subject.push_str(prefix);
    for token in &tokens {
        subject.push('.');
        subject.push_str(token);
    }
    subject
}

/// The fewest subjects, none of which overlaps another, that cover the events a filter admits. They may cover more:
/// partitions are in no subject, and an event's name stands there without its package.
///
/// Events of some types, in streams of whatever type, together with the unknown ones of some stream types, are only
/// covered by everything of the tenant: name the stream types ([`Filter::stream_types`]) to be sent less.
pub(crate) fn subjects_of(prefix: &str, filter: &Filter) -> Vec<String> {
    let tenant = filter.tenant.as_ref().map_or("*".into(), |tenant| token(tenant.as_str()));
    let all = || match filter.tenant {
        None => vec![format!("{prefix}.>")],
        Some(_) => vec![format!("{prefix}.{tenant}.>")],
    };
    let events: BTreeSet<_> = filter.event_types.iter().map(|name| token(package_and_name(name).1)).collect();
    let subjects: Vec<_> = match (filter.stream_types.is_empty(), events.is_empty()) {
        (true, true) => return all(),
        (true, false) if !filter.known.is_empty() => return all(),
        (true, false) => events.iter().map(|event| format!("{prefix}.{tenant}.*.*.{event}.*")).collect(),
        (false, _) => {
            let streams: BTreeSet<_> = filter.stream_types.iter().collect();
            let whole =
                |stream: &str| events.is_empty() || filter.known.iter().any(|known| known.stream_type == stream);
            // As if each stream type had all of the events.
            let few = streams.len() * events.len() <= MOST;
            let subjects = streams.into_iter().flat_map(|stream| {
                let (package, aggregate) = package_and_name(stream);
                let of = format!("{prefix}.{tenant}.{}.{}", token(package), token(aggregate));
                match few && !whole(stream) {
                    true => events.iter().map(|event| format!("{of}.{event}.*")).collect(),
                    false => vec![format!("{of}.>")],
                }
            });
            subjects.collect()
        }
    };
    if subjects.len() > MOST { all() } else { subjects }
}

/// A full name on both sides of its last dot; the first is empty where there is none.
fn package_and_name(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use es_core::{AggregateId, StreamKey, Tenant};
    use proptest::{collection::vec, option, prelude::*, sample::select};

    use super::*;

    fn meta(tenant: Option<&str>, stream_type: &str, event_type: &str, id: &str) -> EventMeta {
        let tenant = tenant.map(|tenant| Tenant::new(tenant).unwrap());
        let stream = StreamKey::new(tenant, stream_type, AggregateId::new(id).unwrap());
        EventMeta::new(Arc::new(stream), 1, 1, event_type.into())
    }

    /// Whether a server delivers this subject to a subscriber of that one.
    fn matches(filter: &str, subject: &str) -> bool {
        let (mut filter, mut subject) = (filter.split('.'), subject.split('.'));
        loop {
            match (filter.next(), subject.next()) {
                (Some(">"), Some(_)) | (None, None) => return true,
                (Some("*"), Some(_)) => {}
                (Some(wanted), Some(found)) if wanted == found => {}
                _ => return false,
            }
        }
    }

    /// Whether some subject would be delivered for both.
    fn overlap(one: &str, other: &str) -> bool {
        let (mut one, mut other) = (one.split('.'), other.split('.'));
        loop {
            match (one.next(), other.next()) {
                (Some(">"), Some(_)) | (Some(_), Some(">")) | (None, None) => return true,
                (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
                (Some(one), Some(other)) if one == other => {}
                _ => return false,
            }
        }
    }

    #[test]
    fn a_subject_names_tenant_package_aggregate_event_and_id() {
        let subject = |tenant, stream, event, id| event_subject(PREFIX, &meta(tenant, stream, event, id));
        assert_eq!(
            subject(Some("acme"), "bank.v1.Account", "bank.v1.AccountOpened", "acc-1"),
            "evt.acme.bank%2Ev1.Account.AccountOpened.acc-1"
        );
        assert_eq!(subject(None, "Account", "Opened", "a.*.>"), "evt.%.%.Account.Opened.a%2E%2A%2E%3E");
        assert_eq!(subject(None, "bank.", "bank.v1.", "%"), "evt.%.bank.%.%.%25");
    }

    #[test]
    fn a_prefix_has_no_meaning_of_its_own() {
        for fine in ["evt", "acme.evt", "a-b_c.D9"] {
            assert!(check_prefix(fine).is_ok(), "{fine}");
        }
        for wrong in ["", ".", "evt.", ".evt", "a..b", "evt.*", ">", "a b", "$JS.API", "evt\r\n", "%"] {
            assert!(check_prefix(wrong).unwrap_err().to_string().contains("subject prefix"), "{wrong}");
        }
    }

    #[test]
    fn a_filter_is_covered_by_few_subjects() {
        let subjects = |filter: Filter| subjects_of(PREFIX, &filter);
        let account = || Filter::all().stream_types(["bank.v1.Account"]);
        let acme = Tenant::new("acme").unwrap();
        assert_eq!(subjects(Filter::all()), ["evt.>"]);
        assert_eq!(subjects(Filter::all().tenant(acme.clone())), ["evt.acme.>"]);
        assert_eq!(subjects(account()), ["evt.*.bank%2Ev1.Account.>"]);
        let opened = ["bank.v1.Opened", "bank.v2.Opened"];
        assert_eq!(subjects(Filter::all().event_types(opened)), ["evt.*.*.*.Opened.*"]);
        assert_eq!(subjects(account().tenant(acme).event_types(opened)), ["evt.acme.bank%2Ev1.Account.Opened.*"]);
        assert_eq!(
            subjects(account().event_types(opened).or_unknown("bank.v1.Account", opened)),
            ["evt.*.bank%2Ev1.Account.>"]
        );
        assert_eq!(subjects(Filter::all().event_types(opened).or_unknown("bank.v1.Account", opened)), ["evt.>"]);
        let many = |number: usize| (0..number).map(|number| format!("bank.v1.Event{number}")).collect::<Vec<_>>();
        assert_eq!(subjects(account().event_types(many(MOST))).len(), MOST);
        assert_eq!(subjects(account().event_types(many(MOST + 1))), ["evt.*.bank%2Ev1.Account.>"]);
        assert_eq!(subjects(Filter::all().event_types(many(MOST + 1))), ["evt.>"]);
    }

    const STREAM_TYPES: [&str; 4] = ["bank.v1.Account", "bank.v2.Account", "shop.Order", "Plain"];
    const EVENT_TYPES: [&str; 5] = ["bank.v1.Opened", "bank.v2.Opened", "bank.v1.Closed", "shop.Order.Opened", "Plain"];

    prop_compose! {
        fn any_filter()(
            tenant in option::of(select(&["acme", "a.b"][..])),
            streams in vec(select(&STREAM_TYPES[..]), 0..3),
            events in vec(select(&EVENT_TYPES[..]), 0..3),
            known in vec((select(&STREAM_TYPES[..]), vec(select(&EVENT_TYPES[..]), 0..3)), 0..3),
        ) -> Filter {
            let filter = Filter::all().stream_types(streams).event_types(events);
            let filter = known.into_iter().fold(filter, |filter, (stream, types)| filter.or_unknown(stream, types));
            tenant.into_iter().fold(filter, |filter, tenant| filter.tenant(Tenant::new(tenant).unwrap()))
        }
    }

    proptest! {
        #[test]
        fn an_admitted_event_is_under_exactly_one_of_the_subjects(
            filter in any_filter(),
            tenant in option::of(select(&["acme", "a.b", "b"][..])),
            stream_type in select(&STREAM_TYPES[..]),
            event_type in select(&EVENT_TYPES[..]),
            id in "[!-~]{1,20}",
        ) {
            let meta = meta(tenant, stream_type, event_type, &id);
            let (subject, subjects) = (event_subject(PREFIX, &meta), subjects_of(PREFIX, &filter));
            prop_assert_eq!(subject.split('.').count(), 6);
            let matching = subjects.iter().filter(|one| matches(one, &subject)).count();
            prop_assert!(matching <= 1, "{:?} overlap", subjects);
            prop_assert!(!filter.admits(&meta) || matching == 1, "{} is not under {:?}", subject, subjects);
        }

        #[test]
        fn no_two_subjects_of_a_filter_overlap(filter in any_filter()) {
            let subjects = subjects_of(PREFIX, &filter);
            for (at, one) in subjects.iter().enumerate() {
                for other in &subjects[at + 1..] {
                    prop_assert!(!overlap(one, other), "{} and {}", one, other);
                }
            }
        }
    }
}
