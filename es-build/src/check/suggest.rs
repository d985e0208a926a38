//! "Did you mean": the known name closest to a misspelt one.

/// `; did you mean ..?`, or nothing where no name is close.
pub(crate) fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match closest(wrong, known) {
        Some(name) => format!("; did you mean `{name}`?"),
        None => String::new(),
    }
}

/// The known name that is close to a wrong one, if any is.
pub(crate) fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (wrong.chars().count() / 3).clamp(1, 3);
    let distance = |name: &str| strsim::osa_distance(&wrong.to_lowercase(), &name.to_lowercase());
    let near = known.into_iter().map(|name| (distance(name), name)).filter(|(distance, _)| *distance <= allowed);
    near.min().map(|(_, name)| name)
}

/// Whether a field's name looks like a misspelling of the id field's.
pub(super) fn is_lookalike(name: &str, id_field: &str) -> bool {
    // In a name of two or three letters, two changes make any other word.
    let allowed = match id_field.chars().count() {
        0..=2 => 0,
        3..=4 => 1,
        _ => 2,
    };
    strsim::osa_distance(&name.to_lowercase(), &id_field.to_lowercase()) <= allowed
}

/// Whether a field is called `id` alone: in a command it is likely meant as the id of the command's aggregate.
pub(super) fn is_plain_id(name: &str) -> bool {
    name.eq_ignore_ascii_case("id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_close_names_are_suggested() {
        assert_eq!(did_you_mean("Acount", ["Order", "Account"]), "; did you mean `Account`?");
        assert_eq!(did_you_mean("Ledger", ["Order", "Account"]), "");
    }

    #[test]
    fn a_short_id_field_is_not_found_in_every_short_name() {
        assert!(is_lookalike("acount_id", "account_id"));
        assert!(is_lookalike("accuont_id", "account_id"));
        assert!(!is_lookalike("to", "id"));
        assert!(is_lookalike("Id", "id"));
    }
}
