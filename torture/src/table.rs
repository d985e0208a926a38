//! The table that the long form prints: a row for each test.

use std::sync::Once;

const HEADER: &str = "| test | rounds | kills | fault sites | seeds | acknowledged | violations |";
static HEADED: Once = Once::new();

/// What a test has done and found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Row {
    /// How often it ran.
    pub rounds: u64,
    /// Processes killed.
    pub kills: u64,
    /// Places where something was made to fail.
    pub sites: u64,
    /// Drawings of lots.
    pub seeds: u64,
    /// Commits that were acknowledged.
    pub acknowledged: u64,
}

impl Row {
    /// Prints the row, and panics when anything was violated.
    pub fn close(self, test: &str, violations: &[String]) {
        let Self { rounds, kills, sites, seeds, acknowledged } = self;
        let found = violations.len();
        print(&format!("| {test} | {rounds} | {kills} | {sites} | {seeds} | {acknowledged} | {found} |"));
        assert!(violations.is_empty(), "{found} violations:\n{}", violations[..found.min(20)].join("\n"));
    }
}

/// Prints the rows that another process printed.
pub fn pass_on(output: &str) {
    output.lines().filter(|line| line.starts_with("| ") && *line != HEADER).for_each(print);
}

fn print(row: &str) {
    HEADED.call_once(|| println!("{HEADER}\n|---|---|---|---|---|---|---|"));
    println!("{row}");
}
