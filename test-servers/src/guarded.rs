//! A child process that ends with this one.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// A child that is killed when this value is dropped, and also when this process dies without dropping anything.
///
/// A second child, a shell, reads a pipe that only this process holds open: its end is the death of the holder, whatever the
/// cause, and the shell kills the child then. (A death signal set by the kernel would follow the thread that started the child,
/// and the threads of a test end before it.)
#[derive(Debug)]
pub(crate) struct Guarded {
    child: Child,
    watch: Child,
}

impl Guarded {
    /// Starts `program`, whose output goes to `log`.
    pub(crate) fn start(program: &Command, log: &File) -> io::Result<Self> {
        // Waits for a line before it becomes the program, so that there is no moment without a watch.
        let mut child = Command::new("sh")
            .args(["-c", "read -r _ && exec \"$0\" \"$@\""])
            .arg(program.get_program())
            .args(program.get_args())
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            // Ctrl-C at the terminal is for the holder, who may still need the server.
            .process_group(0)
            .spawn()?;
        let go = child.stdin.take();
        let watch = Command::new("sh")
            .args(["-c", "trap '' HUP INT TERM; read -r _; kill -KILL \"$0\""])
            .arg(child.id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        go.expect("the child's stdin is a pipe").write_all(b"\n")?;
        Ok(Self { child, watch })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How the child ended, or `None` while it runs.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends `signal` if the child still runs. After `STOP` it returns when all threads of the child stand still.
    pub(crate) fn signal(&mut self, signal: Signal) {
        // Not yet waited for, so that the number can be no other process's.
        if self.ended().is_none() {
            let pid = Pid::from_child(&self.child);
            let sent = kill_process(pid, signal);
            if sent.is_ok() && signal == Signal::STOP {
                let _ =
                    waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            }
        }
    }

    /// Kills the child, also a stopped one, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.watch.kill();
        let _ = self.watch.wait();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}
