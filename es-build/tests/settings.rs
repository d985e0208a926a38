//! What the builder's settings change.

mod support;

use std::{fs, path::Path};

use es_build::{Builder, configure};
use support::{compile_text, generate_with};

const BANK: &[&str] = &["bank/v1/account.proto"];

/// The Rust of the bank's package.
fn bank(builder: Builder, name: &str) -> String {
    fs::read_to_string(generate_with(builder, name, BANK).join("bank.v1.rs")).unwrap()
}

#[test]
fn without_a_server_messages_events_hooks_and_clients_remain() {
    let text = bank(configure().build_server(false), "no_server");
    for gone in ["trait AccountCommandService", "AccountCommandServiceServer", "trait AccountQueryService"] {
        assert!(!text.contains(gone), "{gone}");
    }
    for kept in ["struct Account ", "enum AccountEvent", "trait AccountHooks", "struct AccountCommandServiceClient"] {
        assert!(text.contains(kept), "{kept}");
    }
}

#[test]
fn without_a_client_the_server_remains() {
    let text = bank(configure().build_client(false), "no_client");
    assert!(!text.contains("ServiceClient") && text.contains("struct AccountCommandServiceServer"));
}

#[test]
fn with_neither_no_table_of_methods_is_left_over() {
    let text = bank(configure().build_client(false).build_server(false), "neither");
    assert!(!text.contains("METHODS") && !text.contains("AccountCommandService"));
}

#[test]
fn a_package_from_elsewhere_leaves_only_the_services_of_its_files() {
    let text = bank(configure().extern_path(".bank.v1", "::contract::bank::v1").build_client(false), "extern");
    assert!(!text.contains("pub struct Account ") && !text.contains("enum AccountEvent"), "{text}");
    assert!(text.contains("Aggregate<Event = ::contract::bank::v1::AccountEvent>"), "{text}");
    assert!(text.contains("command: ::contract::bank::v1::DepositCommand"), "{text}");
}

#[test]
fn the_services_of_a_package_from_elsewhere_that_is_only_imported_are_not_generated() {
    let builder =
        configure().extern_path(".shop.domain.v1", "::shop::domain").extern_path(".shop.support", "::support");
    let out = generate_with(builder, "only_imported", &["shop/service/v1/cart.proto"]);
    let mut files: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["_protos.rs", "shop.service.v1.rs"]);
    let text = fs::read_to_string(out.join("shop.service.v1.rs")).unwrap();
    assert!(text.contains("::shop::domain::CartEvent") && text.contains("::shop::domain::Order"), "{text}");
}

#[test]
fn attributes_reach_messages_and_fields() {
    let builder = configure()
        .type_attribute("bank.v1.AccountView", "#[derive(serde::Serialize)]")
        .field_attribute("AccountView.account_id", "#[serde(rename = \"id\")]");
    let text = bank(builder, "attributes");
    assert_eq!(text.matches("#[derive(serde::Serialize)]").count(), 1);
    assert_eq!(text.matches("#[serde(rename = \"id\")]").count(), 1);
}

#[test]
fn an_attribute_that_is_no_rust_is_an_error_and_no_panic() {
    let out = tempfile::tempdir().unwrap();
    let builder = configure().type_attribute(".", "#[derive(").out_dir(out.path()).emit_rerun_if_changed(false);
    let error = builder.compile_protos(&["tests/fixtures/bank/v1/account.proto"], &["tests/fixtures"]).unwrap_err();
    assert!(error.to_string().contains("check the attributes"), "{error}");
}

#[test]
fn the_same_files_become_the_same_text() {
    assert_eq!(bank(configure(), "once"), bank(configure(), "twice"));
}

#[test]
fn the_tree_of_modules_can_have_another_name() {
    let out = generate_with(configure().include_file("all.rs"), "include_file", BANK);
    assert!(out.join("all.rs").is_file() && !out.join("_protos.rs").exists());
}

#[test]
fn an_old_copy_of_our_annotations_among_the_users_files_does_no_harm() {
    let copy = "syntax = \"proto3\";\npackage eventsourcing;\nmessage Nothing {}\n";
    let root = "message R { option (eventsourcing.aggregate_root) = { id_field: \"id\" }; string id = 1; }";
    let text = format!("syntax = \"proto3\";\npackage p;\nimport \"eventsourcing/options.proto\";\n{root}\n");
    let out = compile_text(&[("eventsourcing/options.proto", copy), ("p.proto", &text)], &["p.proto"]).unwrap();
    assert!(fs::read_to_string(out.path().join("out/p.rs")).unwrap().contains("RRepository"));
}

#[test]
fn line_ends_and_byte_order_marks_of_other_systems_are_fine() {
    let good = "\u{feff}syntax = \"proto3\";\r\npackage p;\r\nmessage A {}\r\n";
    compile_text(&[("p.proto", good)], &["p.proto"]).unwrap();
    let wrong = "syntax = \"proto3\";\r\npackage p;\r\nmessage A { Unknown x = 1; }\r\n";
    let error = compile_text(&[("p.proto", wrong)], &["p.proto"]).unwrap_err();
    let [found] = error.diagnostics() else { panic!("{error}") };
    assert_eq!((found.line(), found.column(), found.message()), (3, 13, "name `Unknown` is not defined"));
    assert!(found.to_string().ends_with("3 | message A { Unknown x = 1; }\n  |             ^^^^^^^"), "{found}");
}

#[test]
fn text_that_is_not_utf_8_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.proto");
    fs::write(&file, [0xff, 0xfe, 0x00]).unwrap();
    let builder = configure().out_dir(folder.path().join("out")).emit_rerun_if_changed(false);
    let error = builder.compile_protos(&[&*file], &[folder.path()]).unwrap_err();
    assert!(error.to_string().contains("is not UTF-8 text"), "{error}");
}

#[test]
fn files_may_be_named_below_their_include_or_by_their_full_path() {
    for file in [Path::new("bank/v1/account.proto"), &fs::canonicalize("tests/fixtures/bank/v1/account.proto").unwrap()]
    {
        let out = tempfile::tempdir().unwrap();
        let builder = configure().out_dir(out.path()).emit_rerun_if_changed(false);
        builder.compile_protos(&[file], &[Path::new("./tests/fixtures")]).unwrap();
        assert!(out.path().join("bank.v1.rs").is_file());
    }
}
