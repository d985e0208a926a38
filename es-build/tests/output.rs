//! What is generated, read as text.

mod support;

use std::{fs, path::Path};

use support::FIXTURES;

/// One snapshot for each file a fixture becomes.
fn snapshot(name: &str, folder: &Path) {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let file_name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("{name}__{file_name}"), text);
        });
    }
}

#[test]
fn the_fixtures_become_what_the_snapshots_say() {
    for fixture in FIXTURES {
        // A folder of their own, as the compile tests write the same fixtures.
        let name = format!("{}_text", fixture.0);
        let folder = support::generate_with(es_build::configure(), &name, fixture.1);
        snapshot(fixture.0, &folder);
    }
}
