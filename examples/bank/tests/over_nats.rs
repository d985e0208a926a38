//! The bank as separate programs: a service, a read model and a client, with a server between them.

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Output},
    time::{Duration, Instant},
};

use bank::bank::v1::AccountHooks;
use es_core::Runner;
use es_sqlite::{SqliteProjection, SqliteStore};
use test_servers::NatsServer;

/// A program in the background, which ends with the test.
struct Program(Child);

impl Program {
    /// Ends it as service managers do, and waits until it has.
    fn terminate(mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }
}

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
        self.start_as(word, word, there)
    }

    /// As `start`, for a second one of its kind.
    fn start_as(&self, name: &str, word: &str, there: &str) -> Program {
        let log = File::create(self.folder.path().join(name)).unwrap();
        let program = self.command(&[word]).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let program = Program(program);
        self.says(name, there);
        program
    }

    /// Waits until a program in the background has said something.
    fn says(&self, name: &str, text: &str) {
        let (path, deadline) = (self.folder.path().join(name), Instant::now() + Duration::from_secs(30));
        while !said(&path).contains(text) {
            assert!(Instant::now() < deadline, "`{name}` did not say `{text}`, but:\n{}", said(&path));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn ask(&self, arguments: &[&str]) -> (bool, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        (status.success(), String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap())
    }

    fn fine(&self, arguments: &[&str], answer: &str) {
        assert_eq!(self.ask(arguments), (true, format!("{answer}\n")), "{arguments:?}");
    }

    /// Asks again for a while: what is listed follows the events.
    fn lists(&self, answer: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.ask(&["list"]).1 != format!("{answer}\n") && Instant::now() < deadline {}
        self.fine(&["list"], answer);
    }

    fn fails(&self, arguments: &[&str], with: &str) {
        let (went_well, failure) = self.ask(arguments);
        assert!(!went_well && failure.contains(with), "{arguments:?}: {failure}");
    }
}

fn said(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap()
}

async fn rig() -> Rig {
    Rig { folder: tempfile::tempdir().unwrap(), server: NatsServer::start().await.unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_use_it_and_another_process_shows_what_they_did() {
    let rig = rig().await;
    // In any order: this one waits for the bank, and says so.
    let _projecting = rig.start("project", "WARN es_nats");
    let serving = rig.start("serve", "is open");
    rig.says("project", "Balances are kept in balances.db.");

    rig.fine(&["open", "Ada"], "Ada has 0.00 now (event 1).");
    rig.fine(&["deposit", "Ada", "100"], "Ada has 100.00 now (event 2).");
    rig.fine(&["open", "Bob"], "Bob has 0.00 now (event 3).");
    rig.fine(&["transfer", "Ada", "Bob", "30.50"], "Ada has 69.50 now (event 5).");
    rig.lists("Ada                69.50\nBob                30.50");
    rig.says("project", "after event 5:\n  Ada                69.50\n  Bob                30.50\n");

    // Killed, and opened again: the read model goes on where it was.
    drop(serving);
    rig.fails(&["list"], "is `bank serve` running");
    let _serving = rig.start("serve", "is open");
    rig.says("serve", "`relay:bank` stands by: another process has it, or was killed less than 10 s ago.");
    rig.fine(&["deposit", "Bob", "1"], "Bob has 31.50 now (event 6).");
    rig.says("project", "after event 6:\n  Ada                69.50\n  Bob                31.50\n");
    rig.says("serve", "`relay:bank` goes on.");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_says_why() {
    let rig = rig().await;
    let _serving = rig.start("serve", "is open");
    rig.fine(&["open", "Ada"], "Ada has 0.00 now (event 1).");
    rig.fails(&["open", "Ada"], "Refused: OWNER_TAKEN: Ada has an account already.");
    rig.fails(&["withdraw", "Ada", "1000"], "Refused: INSUFFICIENT_FUNDS");
    rig.fine(&["deposit", "Ada", "1"], "Ada has 1.00 now (event 2).");
    rig.fails(&["deposit", "Ada", "92233720368547758.07"], "Refused: AMOUNT_TOO_LARGE");
    rig.lists("Ada                 1.00");
    rig.fails(&["deposit", "Ada"], "can't read `deposit Ada`; say `bank deposit OWNER AMOUNT`");
    for help in ["help", "--help", "-h"] {
        let (went_well, usage) = rig.ask(&[help]);
        assert!(went_well && usage.starts_with("usage: bank"), "{usage}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_has_stopped_is_told_and_its_stream_made_anew() {
    let mut rig = rig().await;
    let serving = rig.start("serve", "is open");
    rig.fine(&["open", "Ada"], "Ada has 0.00 now (event 1).");
    let projecting = rig.start("project", "after event 1:");
    serving.terminate();
    rig.says("serve", "Closing: what was begun is answered first.");
    projecting.terminate();

    // Another server has nothing of what this one was told.
    rig.server = NatsServer::start().await.unwrap();
    let serving = rig.start("serve", "is open");
    rig.says("serve", "`relay:bank` has stopped: stream `bank` has diverged from its store: it is gone");
    rig.says("serve", "serve again after `bank reseed`");
    rig.fine(&["deposit", "Ada", "5"], "Ada has 5.00 now (event 2).");
    serving.terminate();

    rig.fine(&["reseed"], "All events of bank.db are published anew, up to event 2.");
    rig.fails(&["reseed", "bonk.db"], "there is no bank in bonk.db");
    let _projecting = rig.start("project", "after event 2:\n  Ada                 5.00\n");
    let _serving = rig.start("serve", "is open");
    rig.fine(&["deposit", "Ada", "5"], "Ada has 10.00 now (event 3).");
    rig.says("project", "after event 3:\n  Ada                10.00\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_one_on_the_same_file_stands_by_and_publishes_when_the_first_has_ended() {
    let rig = rig().await;
    let first = rig.start("serve", "is open");
    rig.fine(&["open", "Ada"], "Ada has 0.00 now (event 1).");
    let _projecting = rig.start("project", "after event 1:");
    let _second = rig.start_as("second", "serve", "`relay:bank` stands by");
    rig.fails(&["reseed"], "a `bank serve` has the stream");
    first.terminate();
    rig.fine(&["deposit", "Ada", "5"], "Ada has 5.00 now (event 2).");
    rig.says("project", "after event 2:\n  Ada                 5.00\n");
    rig.says("second", "`relay:bank` goes on.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_that_has_stopped_is_told_and_the_bank_goes_on() {
    let rig = rig().await;
    let serving = rig.start("serve", "is open");
    rig.fine(&["open", "Ada"], "Ada has 0.00 now (event 1).");
    rig.fine(&["deposit", "Ada", "5"], "Ada has 5.00 now (event 2).");
    // Takes the statements' table away.
    let store = SqliteStore::open(rig.folder.path().join("bank.db")).await.unwrap();
    let vandal = SqliteProjection::builder("vandal").migration("DROP TABLE statement_line");
    let vandal = vandal.on_account_opened(|_, _, _| Ok(())).build(&store).unwrap();
    let running = Runner::new(store).run(vandal).start().unwrap();
    running.wait_for_position("vandal", 2, Duration::from_secs(30)).await.unwrap();

    rig.fine(&["deposit", "Ada", "5"], "Ada has 10.00 now (event 3).");
    rig.says("serve", "`statements` has stopped: ");
    rig.lists("Ada                10.00");
    serving.terminate();
}
