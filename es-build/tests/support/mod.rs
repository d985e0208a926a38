//! Compiles the fixtures into `tests/generated`, where snapshots and the compile tests take them from.

#![allow(dead_code)] // Each test uses a part.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A fixture: the name of its folder in `tests/generated`, and its files.
pub(crate) type Fixture = (&'static str, &'static [&'static str]);

/// What compiles.
pub(crate) const FIXTURES: &[Fixture] = &[
    ("bank", &["bank/v1/account.proto"]),
    (
        "shop",
        &[
            "shop/domain/v1/cart.proto",
            "shop/domain/v1/events.proto",
            "shop/service/v1/cart.proto",
            "shop/plain/v1/stock.proto",
        ],
    ),
    ("depot", &["depot/service/v1/depot.proto", "depot/archive/v1/truck.proto"]),
    ("odd", &["odd/v1/odd.proto"]),
    ("history", &["history/v1/history.proto"]),
    ("annotated", &["annotated/v1/annotated.proto"]),
    ("plain", &["plain.proto"]),
];

/// Compiles a fixture, and gives its folder.
pub(crate) fn generate((name, files): Fixture) -> PathBuf {
    generate_with(es_build::configure(), name, files)
}

/// Compiles files with settings of the test's own, and gives the folder.
pub(crate) fn generate_with(builder: es_build::Builder, name: &str, files: &[&str]) -> PathBuf {
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/generated").join(name);
    let _ = fs::remove_dir_all(&out);
    let files: Vec<PathBuf> = files.iter().map(|file| Path::new("tests/fixtures").join(file)).collect();
    builder
        .out_dir(&out)
        .emit_rerun_if_changed(false)
        .compile_protos(&files, &[PathBuf::from("tests/fixtures")])
        .unwrap_or_else(|error| panic!("{error}"));
    out
}

/// Compiles files given as text, in a folder that goes with the returned guard; the output is in `out`.
pub(crate) fn compile_text(files: &[(&str, &str)], inputs: &[&str]) -> es_build::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let inputs: Vec<PathBuf> = inputs.iter().map(|name| folder.path().join(name)).collect();
    let builder = es_build::configure().out_dir(folder.path().join("out")).emit_rerun_if_changed(false);
    builder.compile_protos(&inputs, &[folder.path().to_path_buf()])?;
    Ok(folder)
}
