//! The program, run twice on one file, and its list made anew.

use std::process::Command;

fn run(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_orders")).args(arguments).output().expect("the shop runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the story is text")
}

#[test]
fn the_story_is_told_twice_and_the_list_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders.db");
    let file = file.to_str().unwrap();

    let first = run(&[file]);
    for line in [
        "A new shop opens.",
        "She pays, and the reactor tells the order.",
        "Refused: PAYMENT_NOT_OPEN",
        "  Eve       3.60  not paid in time",
        "  Bob      99.00  too expensive",
        "  Ada       7.00  delivered",
    ] {
        assert!(first.contains(line), "`{line}` is missing in:\n{first}");
    }
    let list = first.split("newest first:").nth(1).unwrap();
    let places: Vec<_> = ["Eve", "Bob", "Ada"].map(|name| list.find(name)).into_iter().collect();
    assert!(places.is_sorted(), "the newest first:\n{list}");

    let second = run(&[file]);
    assert!(second.contains("The shop opens again. Its file holds 15 events from before."), "{second}");
    assert_eq!(second.matches("delivered").count(), 2, "{second}");
    assert!(!(first + &second).contains("?!"), "{second}");

    let rebuilt = run(&["rebuild", file]);
    assert!(rebuilt.contains("The list of orders is made anew from 30 events."), "{rebuilt}");
}
