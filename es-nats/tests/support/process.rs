//! Other processes: this test binary, started once more.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child as Process, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

const ALONE: &str = "ES_NATS_ALONE";
const ROLE: &str = "ES_NATS_ROLE";

/// The name of a test function as the test harness knows it, for [`alone`] and [`Child`].
#[macro_export]
macro_rules! test_name {
    ($function:ident) => {
        concat!(module_path!(), "::", stringify!($function)).split_once("::").expect("a test is in a crate").1
    };
}

/// Runs the body of a test in a process of its own, because what it looks at belongs to the whole process.
pub fn alone(test: &str, body: impl AsyncFnOnce()) {
    if std::env::var_os(ALONE).is_some_and(|name| name == test) {
        return tokio::runtime::Runtime::new().unwrap().block_on(body());
    }
    let output = this_binary(test).env(ALONE, test).output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    eprint!("{complained}");
    assert!(output.status.success(), "{test} ended with {}\n{said}", output.status);
}

/// What a child is to do, or `None` in a process that is none.
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// An argument of a child.
pub fn argument(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("a child needs {name}"))
}

/// Waits until the parent is gone, however that came about.
pub async fn until_orphaned() {
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()).map(|_| ())).await.unwrap().unwrap();
}

/// A process that runs one test function of this binary in a role. Killed when it is dropped.
pub struct Child {
    process: Process,
    /// Open as long as we are there.
    _stdin: ChildStdin,
    last: Arc<Mutex<String>>,
}

impl Child {
    pub fn start(test: &str, role: &str, arguments: &[(&str, &str)]) -> Self {
        let mut command = this_binary(test);
        command.env(ROLE, role).envs(arguments.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (stdin, out) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let last = Arc::new(Mutex::new(String::new()));
        let saying = last.clone();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                // The harness may have begun the line.
                *saying.lock().unwrap() = line.rsplit(" ... ").next().unwrap_or_default().to_owned();
            }
        });
        Self { process, _stdin: stdin, last }
    }

    /// The last line that it said.
    pub fn last(&self) -> String {
        self.last.lock().unwrap().clone()
    }

    /// SIGKILL, wherever it is. It must have been there.
    pub fn kill(mut self) {
        assert!(self.process.try_wait().unwrap().is_none(), "it ended by itself; it said: {}", self.last());
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Sends it SIGSTOP or SIGCONT.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success(), "kill {signal} ended with {sent}");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn this_binary(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command
}
