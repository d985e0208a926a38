//! Every row once, at its smallest: both sides store and read what they should. Rows check that themselves.

use crate::{
    other_process,
    rounds::{Budget, Lab, measure},
    rows,
};

/// Not a test of its own: what a row starts as another process.
#[test]
fn the_other_process() {
    other_process::serve().unwrap();
}

#[test]
fn both_sides_of_every_row_do_the_same() {
    let lab = Lab {
        runtime: tokio::runtime::Runtime::new().unwrap(),
        folder: tempfile::tempdir().unwrap(),
        budget: Budget::Calls(60),
        events: 2_000,
        long: 300,
    };
    for mut row in rows::all() {
        let name = row.name();
        let measured = measure(&mut *row, &lab, 1).unwrap_or_else(|error| panic!("{name}: {error}"));
        let [ours, by_hand] = [&measured.ours[0], &measured.by_hand[0]];
        assert_eq!(ours.operations, by_hand.operations, "{name}");
        assert!(ours.operations > 0, "{name}");
    }
    let left: Vec<_> = std::fs::read_dir(lab.folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
