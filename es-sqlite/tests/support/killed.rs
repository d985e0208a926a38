//! Tests that start themselves as another process, and kill it.

#![allow(dead_code, missing_docs, unreachable_pub)]

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::Duration,
};

const FOLDER: &str = "ES_SQLITE_KILLED_FOLDER";

/// The folder to work in, where this is the process that will be killed.
pub fn to_be_killed() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Runs a test of this file in another process, and kills it a while after it has begun to make a file.
pub fn run_and_kill(test: &str, folder: &Path, makes: &Path, after: Duration) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let mut child = child.args([test, "--exact"]).env(FOLDER, folder).spawn().unwrap();
    while !makes.exists() && child.try_wait().unwrap().is_none() {
        sleep(Duration::from_millis(1));
    }
    sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}
