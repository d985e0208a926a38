//! Which events a read model was made from. Its rows don't tell, so the names are stored with its checkpoint.

use std::collections::BTreeSet;

use es_core::Error;

/// The stored names of all events with hooks: sorted, one on each line, as the column holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hooked(String);

impl Hooked {
    pub(super) fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let sorted: BTreeSet<_> = names.into_iter().collect();
        Self(Vec::from_iter(sorted).join("\n"))
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
        let (one, two) = (Hooked::new(["b", "a", "a"]), Hooked::new(["a", "b"]));
        one.check("p", &two).unwrap();
        assert_eq!(Hooked::from_column(one.column().to_owned()), two);
    }

    #[test]
    fn what_was_added_and_removed_is_named() {
        let changed = Hooked::new(["d", "b", "a"]).check("p", &Hooked::new(["b", "c"])).unwrap_err();
        let Error::ProjectionChanged { name, added, removed } = changed else { panic!("{changed}") };
        assert_eq!((name.as_str(), added, removed), ("p", vec!["a".into(), "d".into()], vec!["c".into()]));
        let changed = Hooked::new(["a"]).check("p", &Hooked::new([])).unwrap_err();
        assert!(
            matches!(changed, Error::ProjectionChanged { added, removed, .. } if added == ["a"] && removed.is_empty())
        );
    }
}
