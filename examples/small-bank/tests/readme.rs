//! The README shows this program as it is, says how long it is, and what it prints.

use std::{path::Path, process::Command};

const README: &str = include_str!("../../../README.md");
const PROTO: &str = include_str!("../proto/bank/v1/account.proto");
const MAIN: &str = include_str!("../src/main.rs");
const BUILD: &str = include_str!("../build.rs");

#[test]
fn the_readme_shows_the_whole_program() {
    assert!(README.contains(&format!("```proto\n{PROTO}```")), "the README's proto is not the example's");
    for code in [MAIN, BUILD].map(code) {
        assert!(README.contains(&format!("```rust\n{code}```")), "this is not in the README:\n{code}");
    }
    let counts = format!("{} lines of proto, {} of Rust", lines(PROTO), lines(code(MAIN)) + lines(code(BUILD)));
    assert!(README.replace('\n', " ").contains(&counts), "the README does not say: {counts}");
}

/// A file without its first line, which says what it is.
fn code(file: &str) -> &str {
    file.split_once("\n\n").expect("a first line that says what it is").1
}

/// Lines with something on them, as everybody counts them.
fn lines(text: &str) -> usize {
    text.lines().filter(|line| !line.trim().is_empty()).count()
}

#[test]
fn it_prints_what_the_readme_says_and_goes_on_in_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    for expected in
        ["Ada has 300 cents, and so says the table: 300\n", "Ada has 600 cents, and so says the table: 600\n"]
    {
        assert!(README.contains(expected));
        assert_eq!(run(folder.path()), expected);
    }
}

fn run(folder: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_small-bank")).current_dir(folder).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
