//! Other processes: this test binary, started once more.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
};

use crate::table;

const ALONE: &str = "TORTURE_ALONE";
const ROLE: &str = "TORTURE_ROLE";

/// The name of a test function as the test harness knows it, for [`alone`] and [`Start`].
#[macro_export]
macro_rules! test_name {
    ($function:ident) => {
        concat!(module_path!(), "::", stringify!($function)).split_once("::").expect("a test is in a crate").1
    };
}

/// Runs the body of a test in a process of its own: one that may break what a process has only once, or die.
pub fn alone(test: &str, body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some_and(|name| name == test) {
        return body();
    }
    let output = this_binary(test).env(ALONE, test).output().expect("this binary starts");
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    table::pass_on(&said);
    assert!(output.status.success(), "{test} ended with {}\n{said}\n{complained}", output.status);
}

/// What a child is to do, or `None` in a process that is none.
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// An argument of a child.
pub fn argument(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("a child needs {name}"))
}

/// A child about to be started.
#[derive(Debug)]
pub struct Start(Command);

impl Start {
    /// A child that runs one test function of this binary in a role.
    pub fn new(test: &str, role: &str) -> Self {
        let mut command = this_binary(test);
        command.env(ROLE, role).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command)
    }

    /// Gives it an argument.
    #[must_use]
    pub fn argument(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        Running(self.0.spawn().expect("this binary starts"))
    }
}

/// A child under way; killed when it is dropped.
#[derive(Debug)]
pub struct Running(Child);

/// What a child prints when its parent may go on.
const READY: u8 = b'@';

/// Tells the parent that this child got to where it matters.
pub fn ready() {
    use std::io::Write;
    // Past the harness, which may hold back what a test prints.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(&[READY, b'\n']).and_then(|()| out.flush());
}

impl Running {
    /// Waits until the child is ready, or gone.
    pub fn until_ready(&mut self) {
        let mut byte = [0];
        let out = self.0.stdout.as_mut().expect("the output is piped");
        while out.read_exact(&mut byte).is_ok() && byte[0] != READY {}
    }

    /// SIGKILL, wherever it is. Says whether it was still there.
    pub fn kill(&mut self) -> bool {
        let alive = matches!(self.0.try_wait(), Ok(None));
        let _ = self.0.kill();
        alive
    }

    /// SIGSTOP: it stands still, wherever it is, until it is [woken](Self::wake).
    pub fn stop(&self) {
        self.signal("-STOP");
        // The signal reaches one of its threads; until that one runs, the others do.
        while !self.stands_still() {
            std::thread::yield_now();
        }
    }

    /// Whether each of its threads is stopped. Of one that waits for a disk, that is not true yet.
    fn stands_still(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.0.id())).expect("the system has /proc");
        threads.flatten().all(|thread| {
            // A thread that ended meanwhile has none.
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['T', 'Z', 'X']))
        })
    }

    /// SIGCONT: it goes on as if no time had passed.
    pub fn wake(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status().expect("`kill` starts");
        assert!(sent.success(), "kill {signal} ended with {sent}");
    }

    /// Waits for its end and hands over how it ended, what it said and what it complained of.
    pub fn end(mut self) -> (std::process::ExitStatus, String, String) {
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        let _ = self.0.stdout.take().map(|mut out| out.read_to_end(&mut said));
        let _ = self.0.stderr.take().map(|mut out| out.read_to_end(&mut complained));
        let status = self.0.wait().expect("a child can be waited for");
        (status, String::from_utf8_lossy(&said).into(), String::from_utf8_lossy(&complained).into())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn this_binary(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a process has a binary"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command
}
