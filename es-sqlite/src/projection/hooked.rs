//! Which events a read model was made from. Its rows don't tell, so the names are stored with its checkpoint.

use std::collections::BTreeSet;

use es_core::{Error, Filter};

/// What a line begins with that is no name of an event, but what the events are limited to.
const ONLY: &str = "only ";

/// The stored names of all events with hooks, and what they are limited to: sorted, one on each line, as the column
/// holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hooked(String);

impl Hooked {
    pub(super) fn new<'n>(names: impl IntoIterator<Item = &'n str>, filter: &Filter) -> Self {
        let only = filter.stream_types.iter().map(|stream_type| format!("{ONLY}aggregate {stream_type}"));
        let tenant = filter.tenant.iter().map(|tenant| format!("{ONLY}tenant {tenant}"));
        let sorted: BTreeSet<_> = names.into_iter().map(str::to_owned).chain(only).chain(tenant).collect();
        Self(Vec::from_iter(sorted).join("\n"))
    }

    /// The events that were added, if nothing else has changed.
    pub(super) fn only_added(&self, made_by: &Self) -> Vec<String> {
        let added = self.without(made_by);
        let limits_changed = added.iter().any(|line| line.starts_with(ONLY));
        if limits_changed || !made_by.without(self).is_empty() { Vec::new() } else { added }
    }

    pub(super) fn from_column(column: String) -> Self {
        Self(column)
    }

    pub(super) fn column(&self) -> &str {
        &self.0
    }

    /// Refuses to continue a read model that was made by other hooks: those added since have missed events.
    pub(super) fn check(&self, projection: &str, made_by: &Self) -> Result<(), Error> {
        if self == made_by {
            return Ok(());
        }
        let (added, removed) = (self.without(made_by), made_by.without(self));
        Err(Error::ProjectionChanged { name: projection.to_owned(), added, removed })
    }

    /// The names that are not among the others.
    pub(super) fn without(&self, others: &Self) -> Vec<String> {
        self.names().difference(&others.names()).map(|&name| name.to_owned()).collect()
    }

    fn names(&self) -> BTreeSet<&str> {
        self.0.lines().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_hooks_does_not_count() {
        let all = &Filter::all();
        let (one, two) = (Hooked::new(["b", "a", "a"], all), Hooked::new(["a", "b"], all));
        one.check("p", &two).unwrap();
        assert_eq!(Hooked::from_column(one.column().to_owned()), two);
    }

    #[test]
    fn what_was_added_and_removed_is_named() {
        let all = &Filter::all();
        let changed = Hooked::new(["d", "b", "a"], all).check("p", &Hooked::new(["b", "c"], all)).unwrap_err();
        let Error::ProjectionChanged { name, added, removed } = changed else { panic!("{changed}") };
        assert_eq!((name.as_str(), added, removed), ("p", vec!["a".into(), "d".into()], vec!["c".into()]));
        let changed = Hooked::new(["a"], all).check("p", &Hooked::new([], all)).unwrap_err();
        assert!(
            matches!(changed, Error::ProjectionChanged { added, removed, .. } if added == ["a"] && removed.is_empty())
        );
    }
    #[test]
    fn a_limit_that_has_changed_is_no_new_event() {
        let limited = Filter::all().stream_types(["bank.v1.Account"]);
        let (all, some) = (Hooked::new(["a"], &Filter::all()), Hooked::new(["a"], &limited));
        assert!(some.only_added(&all).is_empty() && all.only_added(&some).is_empty());
        let Err(Error::ProjectionChanged { added, .. }) = some.check("p", &all) else { panic!() };
        assert_eq!(added, ["only aggregate bank.v1.Account"]);
        assert_eq!(Hooked::new(["a", "b"], &limited).only_added(&some), ["b"]);
    }
}
