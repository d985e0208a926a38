//! The program, run twice on one file.

use std::process::Command;

fn run(file: &std::path::Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bank")).arg("story").arg(file).output().expect("the bank runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the story is text")
}

#[test]
fn the_story_is_told_and_a_second_run_goes_on_from_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bank.db");

    let first = run(&file);
    for line in [
        "A new bank opens its doors.",
        "Ada opens an account.",
        "Someone else wants to be Ada too. Refused: `owner` is unique.",
        "Ada sends Bob 30.00: both accounts change, or neither. She has 70.00.",
        "It gets the same answer from the record, and no money moves.",
        "Refused: INSUFFICIENT_FUNDS: the balance is too low (deposit first, or ask for less).",
        "  Ada        70.00\n  Bob        20.00\n  closed accounts: 1\n",
        "The log holds 8 events.",
    ] {
        assert!(first.contains(line), "`{line}` is missing in:\n{first}");
    }

    let second = run(&file);
    for line in [
        "The bank opens again. Its file holds 8 events from before.",
        "Ada is back; there are 70.00 in the account.",
        "  Ada       140.00\n  Bob        40.00\n  closed accounts: 2\n",
        "The log holds 14 events.",
    ] {
        assert!(second.contains(line), "`{line}` is missing in:\n{second}");
    }
    assert!(!second.contains("?!"), "{second}");
}

#[tokio::test]
async fn the_story_is_told_as_well_in_a_bank_where_eve_has_an_account() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bank.db");
    let bank = bank::Bank::open(&file).await.unwrap();
    bank.accounts.open_account(bank::bank::v1::OpenAccountCommand { owner: "Eve".into() }).await.unwrap();
    bank.close().await.unwrap();

    let told = run(&file);
    for line in ["Eve wants to open an account, and has one.", "  Eve         0.00\n", "The log holds 7 events."] {
        assert!(told.contains(line), "`{line}` is missing in:\n{told}");
    }
}
