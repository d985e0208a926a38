//! What is said of mistakes in `.proto` files: one fixture for each rule, named after it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use es_build::Error;

/// The mistakes in files of `tests/fixtures`.
fn compile(files: &[&Path]) -> Result<(), Error> {
    let out = tempfile::tempdir().unwrap();
    let includes = [Path::new("tests/fixtures")];
    es_build::configure().out_dir(out.path()).emit_rerun_if_changed(false).compile_protos(files, &includes)
}

fn fixtures() -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir("tests/fixtures/errors").unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_rule_says_what_is_wrong_and_where_and_what_to_do() {
    for file in fixtures() {
        let rule = file.file_stem().unwrap().to_string_lossy().into_owned();
        let error = compile(&[&file]).expect_err(&rule);
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("error__{rule}"), error.to_string());
        });
    }
}

#[test]
fn all_mistakes_of_several_files_are_told_in_one_run_by_file_and_place() {
    let files = ["streaming_rpc", "missing_id_field", "upcasts_to_itself"];
    let files: Vec<PathBuf> =
        files.iter().map(|f| Path::new("tests/fixtures/errors").join(f).with_extension("proto")).collect();
    let wrong = compile(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>()).unwrap_err();
    // One package in three files: every file declares `Account`, which the proto compiler reports before our rules.
    assert!(wrong.diagnostics().len() >= 2, "{wrong}");
    let places: Vec<_> = wrong.diagnostics().iter().map(|d| (d.file(), d.line(), d.column())).collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn every_broken_file_is_told_of() {
    let files = ["syntax_error", "missing_imports", "unknown_type", "no_such_file"];
    let files: Vec<PathBuf> =
        files.iter().map(|f| Path::new("tests/fixtures/errors").join(f).with_extension("proto")).collect();
    let wrong = compile(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>()).unwrap_err();
    insta::assert_snapshot!(wrong.to_string());
}

#[test]
fn a_file_outside_of_the_includes_is_told_apart_from_a_missing_one() {
    let wrong = compile(&[Path::new("Cargo.toml"), Path::new("proto/nowhere.proto")]).unwrap_err();
    insta::assert_snapshot!(wrong.to_string());
}

#[test]
fn debug_reads_as_display_does_because_cargo_prints_it() {
    let file = Path::new("tests/fixtures/errors/missing_id_field.proto");
    let error = compile(&[file]).unwrap_err();
    let shown = format!("{error:?}");
    assert!(shown.contains(&error.to_string()), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("tests/fixtures/errors/missing_id_field.proto:8:")), "{shown}");
}

#[test]
fn no_output_folder_is_an_error_and_no_panic() {
    if std::env::var_os("OUT_DIR").is_none() {
        let error =
            es_build::compile_protos(&["tests/fixtures/bank/v1/account.proto"], &["tests/fixtures"]).unwrap_err();
        assert!(error.to_string().contains("OUT_DIR"), "{error}");
    }
}
