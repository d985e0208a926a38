//! What the macros accept, and what they say where they refuse: one file per rule.
//!
//! After a change of a message: `TRYBUILD=overwrite cargo test -p es-derive --test ui`, then read the diff.

#[test]
fn every_rule_has_its_message() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/aggregate/*.rs");
    cases.compile_fail("tests/ui/event_set/*.rs");
    cases.compile_fail("tests/ui/event_applier/*.rs");
}

#[test]
fn what_is_allowed_compiles_without_a_warning() {
    trybuild::TestCases::new().pass("tests/ui/pass/*.rs");
}
