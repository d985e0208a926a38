//! What is generated, given to rustc: it compiles without a warning, runs, and its mistakes are told well.

mod support;

use support::{FIXTURES, generate, generate_with};

#[test]
fn generated_code_compiles_and_runs_without_warnings() {
    for fixture in FIXTURES {
        generate(*fixture);
    }
    let bank = &["bank/v1/account.proto"];
    generate_with(es_build::configure().build_server(false), "contract", bank);
    generate_with(
        es_build::configure().extern_path(".bank.v1", "crate::contract::bank::v1").build_client(false),
        "domain",
        bank,
    );
    let cases = trybuild::TestCases::new();
    cases.pass("tests/compile/*.rs");
    cases.compile_fail("tests/ui/*.rs");
}
