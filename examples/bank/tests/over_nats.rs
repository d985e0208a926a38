//! The bank as separate programs: a service, a read model and a client, with a server between them.

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Output},
    time::{Duration, Instant},
};

use test_servers::NatsServer;

/// A program in the background, which ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Rig {
    folder: tempfile::TempDir,
    server: NatsServer,
}

impl Rig {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bank"));
        command.args(arguments).current_dir(&self.folder).env("NATS_URL", self.server.url());
        command
    }

    /// Starts a program, and waits until it says that it is there.
    fn start(&self, word: &str, there: &str) -> Program {
        let log = File::create(self.folder.path().join(word)).unwrap();
        let program = self.command(&[word]).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let program = Program(program);
        self.says(word, there);
        program
    }

    /// Waits until a program in the background has said something.
    fn says(&self, word: &str, text: &str) {
        let (path, deadline) = (self.folder.path().join(word), Instant::now() + Duration::from_secs(30));
        while !said(&path).contains(text) {
            assert!(Instant::now() < deadline, "`bank {word}` did not say `{text}`, but:\n{}", said(&path));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn ask(&self, arguments: &[&str]) -> (bool, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        (status.success(), String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap())
    }
}

fn said(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_use_it_and_another_process_shows_what_they_did() {
    let rig = Rig { folder: tempfile::tempdir().unwrap(), server: NatsServer::start().await.unwrap() };
    // In any order: this one waits for the bank.
    let _projecting = rig.start("project", "Balances are kept");
    let serving = rig.start("serve", "is open");

    let fine = |arguments: &[&str], answer: &str| assert_eq!(rig.ask(arguments), (true, format!("{answer}\n")));
    fine(&["open", "Ada"], "Ada has 0.00 now (event 1).");
    fine(&["deposit", "Ada", "100"], "Ada has 100.00 now (event 2).");
    fine(&["open", "Bob"], "Bob has 0.00 now (event 3).");
    fine(&["transfer", "Ada", "Bob", "30.50"], "Ada has 69.50 now (event 5).");
    fine(&["list"], "Ada                69.50\nBob                30.50");
    rig.says("project", "after 5 events:\n  Ada                69.50\n  Bob                30.50\n");

    let (went_well, refusal) = rig.ask(&["withdraw", "Bob", "1000"]);
    assert!(!went_well && refusal.starts_with("Refused: INSUFFICIENT_FUNDS"), "{refusal}");

    // Killed, and opened again: the read model goes on where it was.
    drop(serving);
    let (went_well, failure) = rig.ask(&["list"]);
    assert!(!went_well && failure.contains("nothing serves") || failure.contains("unavailable"), "{failure}");
    let _serving = rig.start("serve", "is open");
    fine(&["deposit", "Bob", "1"], "Bob has 31.50 now (event 6).");
    rig.says("project", "after 6 events:\n  Ada                69.50\n  Bob                31.50\n");
}
