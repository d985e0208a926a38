//! Tests are processes: some are killed, and several want the same thing at once.
//!
//! The processes are this executable again, told by a variable what to be.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use test_servers::{NatsServer, Python};

const PATIENCE: Duration = Duration::from_secs(60);
const ROLE: &str = "TEST_SERVERS_ROLE";

/// Runs one test of this executable, or of its copy, with its temporary files in a folder of ours.
fn spawn(executable: &Path, test: &str, temporary: &Path) -> Child {
    Command::new(executable)
        .env("TMPDIR", temporary)
        .args([test, "--exact", "--nocapture"])
        .env(ROLE, test)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What stands after `word` in a line, if it does. The harness says something of its own before.
fn told(line: &str, word: &str) -> Option<String> {
    line.split_once(word).map(|(_, rest)| rest.to_owned())
}

#[tokio::test]
async fn a_server_ends_with_the_process_that_started_it_even_if_that_is_killed() {
    if env::var_os(ROLE).is_some() {
        let server = NatsServer::start().await.unwrap();
        println!("port {}", server.port());
        return std::future::pending().await;
    }
    let name = "a_server_ends_with_the_process_that_started_it_even_if_that_is_killed";
    let temporary = tempfile::tempdir().unwrap();
    let mut child = spawn(&env::current_exe().unwrap(), name, temporary.path());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let port: u16 = lines.find_map(|line| told(&line, "port ")).unwrap().parse().unwrap();
    let runs = || TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert!(runs());
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while runs() {
        assert!(Instant::now() < deadline, "the server on port {port} goes on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn processes_that_fetch_the_same_at_once_share_it() {
    if env::var_os(ROLE).is_some() {
        let command = Python::with(&["nats-py==2.16.0"]).unwrap().command();
        let (_, folder) = command.get_envs().find(|(name, _)| *name == "PYTHONPATH").unwrap();
        println!("folder {}", folder.unwrap().display());
        return;
    }
    // The cache is in the target folder the executable is in: here one that has nothing yet.
    let target = tempfile::tempdir().unwrap();
    fs::write(target.path().join("CACHEDIR.TAG"), "").unwrap();
    let executable = target.path().join("again");
    fs::copy(env::current_exe().unwrap(), &executable).unwrap();
    let children: Vec<_> =
        (0..4).map(|_| spawn(&executable, "processes_that_fetch_the_same_at_once_share_it", target.path())).collect();
    let folder = |child: Child| {
        let said = child.wait_with_output().unwrap();
        assert!(said.status.success(), "{said:?}");
        String::from_utf8(said.stdout)
            .unwrap()
            .lines()
            .find_map(|line| told(line, "folder "))
            .map(PathBuf::from)
            .unwrap()
    };
    let folders: Vec<_> = children.into_iter().map(folder).collect();
    assert!(folders.iter().all(|folder| *folder == folders[0]), "{folders:?}");
    assert!(folders[0].starts_with(target.path()) && folders[0].join("nats/__init__.py").is_file(), "{folders:?}");
    let here = fs::read_dir(target.path().join("test-servers")).unwrap();
    let left: Vec<_> = here.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the folder and its lock, nothing half done: {left:?}");
}
