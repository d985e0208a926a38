//! Several stores on one file: in one process, and in several.

mod support;

use std::{path::Path, process::Command, time::Duration};

use es_core::{Answer, CommandId, CommandRecord, Commit, Error, EventLog, EventStore, Expected};
use es_sqlite::SqliteStore;
use support::{append, assert_sound, events, folder, log, payloads, stream};

#[tokio::test]
async fn two_stores_on_one_file_see_each_others_writes() {
    let (_folder, path) = folder();
    let (one, two) = (SqliteStore::open(&path).await.unwrap(), SqliteStore::open(&path).await.unwrap());
    assert_eq!(one.identity(), two.identity());
    for round in 0..20 {
        // Each has remembered heads that the other then moves.
        assert_eq!(append(&one, "a", 1).await.versions, [2 * round + 1]);
        assert_eq!(append(&two, "a", 1).await.versions, [2 * round + 2]);
        let stale = Commit::append(stream("a"), Expected::Exact(2 * round + 1), events(1));
        assert!(matches!(one.append(stale).await, Err(Error::Conflict { actual, .. }) if actual == 2 * round + 2));
        append(&two, &format!("own-{round}"), 1).await;
        append(&one, &format!("own-{round}"), 1).await;
    }
    assert_sound(&log(&one).await);
    assert_eq!(log(&one).await, log(&two).await);
    assert_eq!(payloads(&one, "a", 0).await.unwrap().len(), 40);
}

#[tokio::test]
async fn a_command_is_carried_out_once_whichever_store_gets_it() {
    let (_folder, path) = folder();
    let (one, two) = (SqliteStore::open(&path).await.unwrap(), SqliteStore::open(&path).await.unwrap());
    let sent = || {
        let id = CommandId::new("c-1").unwrap();
        let answer = Answer::Accepted(b"done".to_vec());
        let record = CommandRecord { id, payload_hash: [1; 32], answer, stream: stream("a"), version: 1 };
        Commit::append(stream("a"), Expected::NoStream, events(1)).command(record)
    };
    let (first, second) = tokio::join!(one.append(sent()), two.append(sent()));
    let stored = [first.unwrap(), second.unwrap()].into_iter().filter_map(es_core::Appended::committed).count();
    assert_eq!(stored, 1);
    assert_eq!(one.head().await.unwrap(), 1);
}

#[tokio::test]
async fn a_watch_tells_of_another_stores_writes() {
    let (_folder, path) = folder();
    let (one, two) = (SqliteStore::open(&path).await.unwrap(), SqliteStore::open(&path).await.unwrap());
    let mut heads = one.watch();
    for head in 1..=5 {
        append(&two, "a", 1).await;
        let told = tokio::time::timeout(Duration::from_secs(2), heads.wait_for(|known| *known == head)).await;
        told.expect("told in time").unwrap();
    }
}

const FILE: &str = "ES_SQLITE_TEST_FILE";
const CHILD: &str = "ES_SQLITE_TEST_CHILD";

const FOUR: &str = "four_processes_that_append_to_one_file_lose_and_repeat_nothing";

/// This test starts itself as other processes.
#[test]
fn four_processes_that_append_to_one_file_lose_and_repeat_nothing() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let (Ok(file), Ok(child)) = (std::env::var(FILE), std::env::var(CHILD)) {
        return runtime.block_on(append_as_a_child(Path::new(&file), &child));
    }
    let (_folder, path) = folder();
    let children: Vec<_> = (0..4)
        .map(|child| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args([FOUR, "--exact", "--nocapture"]).env(FILE, &path).env(CHILD, child.to_string());
            command.spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    runtime.block_on(async {
        let store = SqliteStore::open(&path).await.unwrap();
        let log = log(&store).await;
        assert_eq!(log.len(), 4 * 8 * 10 * 2);
        assert_sound(&log);
        assert_eq!(store.version(&stream("shared")).await.unwrap(), 4 * 8 * 10);
    });
}

async fn append_as_a_child(path: &Path, child: &str) {
    let store = SqliteStore::builder(path).busy_timeout(Duration::from_secs(60)).open().await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (store, own) = (store.clone(), format!("{child}-{task}"));
            tokio::spawn(async move {
                for version in 0..10 {
                    let commit = Commit::append(stream(&own), Expected::Exact(version), events(1));
                    store.append(commit.and(stream("shared"), Expected::Any, events(1))).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    store.shutdown().await.unwrap();
}

/// Closing any handle of a file drops the locks of the whole process: opening a store must not do that.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn opening_a_store_a_second_time_leaves_the_locks_of_the_first() {
    use std::os::unix::fs::MetadataExt;
    let (_folder, path) = folder();
    // One look may miss a lock while other processes lock and unlock; a lock that was dropped does not come back.
    let is_locked = |path: &Path| {
        let file = format!(":{} ", path.metadata().unwrap().ino());
        let look = || std::fs::read_to_string("/proc/locks").unwrap().lines().any(|lock| lock.contains(&file));
        (0..20).any(|_| look())
    };
    let first = SqliteStore::open(&path).await.unwrap();
    assert!(is_locked(&path));
    SqliteStore::open(&path).await.unwrap().shutdown().await.unwrap();
    assert!(is_locked(&path), "another process would take itself for the last one and delete the log");
    append(&first, "a", 1).await;
}

const KILLED: &str = "processes_killed_at_any_moment_lose_nothing_they_acknowledged";

/// This test starts itself as other processes, and kills them.
#[test]
fn processes_killed_at_any_moment_lose_nothing_they_acknowledged() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let (Ok(file), Ok(child)) = (std::env::var(FILE), std::env::var(CHILD)) {
        return runtime.block_on(append_and_say_so(Path::new(&file), &child));
    }
    let (_folder, path) = folder();
    let mut acknowledged = Vec::new();
    for round in 0..12 {
        let children: Vec<_> = (0..3)
            .map(|child| {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command
                    .args([KILLED, "--exact", "--nocapture"])
                    .env(FILE, &path)
                    .env(CHILD, format!("{round}-{child}"));
                command.stdout(std::process::Stdio::piped()).spawn().unwrap()
            })
            .collect();
        std::thread::sleep(Duration::from_millis(40 + round * 12));
        for mut child in children {
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            // A line that was cut off was not said.
            let whole = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            acknowledged
                .extend(whole.filter_map(|line| line.strip_prefix("stored ")).map(|line| line.trim().to_owned()));
        }
    }
    assert!(acknowledged.len() > 5, "only {} appends were acknowledged", acknowledged.len());
    runtime.block_on(async {
        let store = SqliteStore::open(&path).await.unwrap();
        let log = log(&store).await;
        assert_sound(&log);
        for stored in acknowledged {
            let (id, version) = stored.split_once(' ').unwrap();
            assert!(store.version(&stream(id)).await.unwrap() >= version.parse().unwrap(), "lost: {stored}");
        }
        // Each commit has two events: none is torn.
        assert!(log.iter().all(|event| event.meta.commit_last - event.meta.commit_first == 1));
    });
}

async fn append_and_say_so(path: &Path, child: &str) {
    let store = SqliteStore::builder(path).busy_timeout(Duration::from_secs(60)).open().await.unwrap();
    for version in 1.. {
        append(&store, child, 2).await;
        println!("stored {child} {}", 2 * version);
    }
}
