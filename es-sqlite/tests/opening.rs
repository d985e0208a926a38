//! Files that are not what they should be: each is refused in words, and left as it is.

mod support;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use es_core::{Error, EventLog, EventStore};
use es_sqlite::{SqliteStore, rusqlite::Connection};
use support::{append, events, folder, log, stream};

/// Every file of a folder with its bytes.
fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Opens a file that must be refused, and makes sure that nothing was written.
async fn refused(path: &Path) -> Error {
    let before = contents(path);
    let error = SqliteStore::open(path).await.unwrap_err();
    assert!(contents(path) == before, "the folder was changed: {error}");
    error
}

#[tokio::test]
async fn an_sqlite_file_of_another_program_is_refused_and_left_alone() {
    let (_folder, path) = folder();
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE cookies (id); INSERT INTO cookies VALUES (1)")
        .unwrap();
    let error = refused(&path).await;
    let message = error.to_string();
    assert!(message.ends_with("bank.db is not an event store: it is an SQLite file of another program"), "{message}");
}

#[tokio::test]
async fn a_file_that_is_no_sqlite_file_is_refused_and_left_alone() {
    for (start, length) in [("a", 1), ("a text", 100), ("a text", 9_000), ("SQLite format 3\0", 16), ("\0", 8_192)] {
        let (_folder, path) = folder();
        let content: String = start.chars().cycle().take(length).collect();
        std::fs::write(&path, content).unwrap();
        let message = refused(&path).await.to_string();
        assert!(message.ends_with("is not an event store: it is not an SQLite file"), "{start} {length}: {message}");
    }
}

#[tokio::test]
async fn a_file_of_a_newer_program_is_refused_and_left_byte_for_byte() {
    let (_folder, path) = folder();
    SqliteStore::open(&path).await.unwrap().shutdown().await.unwrap();
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 3).unwrap();
    newer.close().unwrap();
    let error = refused(&path).await;
    assert!(matches!(error, Error::SchemaTooNew { found: 3, supported: 2, .. }), "{error}");
}

#[tokio::test]
async fn tables_that_were_tampered_with_are_refused() {
    for (sql, words) in [
        ("CREATE TRIGGER thief AFTER INSERT ON es_events BEGIN DELETE FROM es_claims; END", "trigger thief"),
        ("CREATE INDEX slow ON es_events (recorded_at)", "index slow"),
        ("DROP TRIGGER es_events_are_never_deleted", "es_events_are_never_deleted is missing"),
        ("DROP TABLE es_snapshots", "es_snapshots"),
        ("DROP INDEX es_scheduled_due", "es_scheduled_due is missing"),
        ("CREATE VIEW es_extra AS SELECT 1", "view es_extra"),
    ] {
        let (_folder, path) = folder();
        SqliteStore::open(&path).await.unwrap().shutdown().await.unwrap();
        let hand = Connection::open(&path).unwrap();
        hand.execute_batch(sql).unwrap();
        hand.close().unwrap();
        let message = refused(&path).await.to_string();
        assert!(message.contains(words), "{sql}: {message}");
    }
}

#[tokio::test]
async fn events_can_not_be_changed_by_hand_while_the_guards_stand() {
    let (_folder, path) = folder();
    append(&SqliteStore::open(&path).await.unwrap(), "a", 1).await;
    let hand = Connection::open(&path).unwrap();
    for sql in ["UPDATE es_events SET version = 2", "DELETE FROM es_events"] {
        let message = hand.execute(sql, ()).unwrap_err().to_string();
        assert!(message.starts_with("events are never"), "{sql}: {message}");
    }
}

#[tokio::test]
async fn a_folder_in_place_of_the_file_or_none_around_it_is_said_in_words() {
    let (folder, path) = folder();
    let message = SqliteStore::open(folder.path()).await.unwrap_err().to_string();
    assert!(message.ends_with("is not an event store: it is a folder"), "{message}");

    let missing = path.with_file_name("missing").join("bank.db");
    let error = SqliteStore::open(&missing).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(error.to_string().contains("missing/bank.db"), "{error}");
    assert!(source.contains("the folder") && source.ends_with("does not exist"), "{source}");
}

#[tokio::test]
async fn a_store_that_is_not_to_be_created_is_not() {
    let (_folder, path) = folder();
    let error = SqliteStore::builder(&path).create(false).open().await.unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(!path.exists());
    SqliteStore::open(&path).await.unwrap().shutdown().await.unwrap();
    SqliteStore::builder(&path).create(false).open().await.unwrap();
}

#[tokio::test]
async fn a_name_that_sqlite_reads_as_something_else_is_a_plain_file_or_refused() {
    for name in ["", ":memory:"] {
        let message = SqliteStore::open(name).await.unwrap_err().to_string();
        assert!(message.contains("MemoryStore"), "{message}");
    }
    let (folder, _) = folder();
    let odd = folder.path().join("file:x?mode=memory");
    SqliteStore::open(&odd).await.unwrap();
    assert!(odd.exists());
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let (_folder, path) = folder();
    std::fs::write(&path, b"").unwrap();
    append(&SqliteStore::open(&path).await.unwrap(), "a", 1).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_can_be_read_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    append(&store, "a", 1).await;
    for file in contents(&path).keys() {
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_file_that_many_open_at_once_is_one_store() {
    let (_folder, path) = folder();
    let opening: Vec<_> = (0..8).map(|_| tokio::spawn(SqliteStore::open(path.clone()))).collect();
    let mut identities = Vec::new();
    for store in opening {
        let store = store.await.unwrap().unwrap();
        append(&store, "a", 1).await;
        identities.push(store.identity());
    }
    identities.dedup();
    assert_eq!(identities.len(), 1);
}

#[tokio::test]
async fn a_main_file_copied_without_its_log_opens_at_an_older_head() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    append(&store, "a", 3).await;
    let copy = path.with_file_name("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    let copied = SqliteStore::open(&copy).await.unwrap();
    let seen = log(&copied).await;
    assert!(seen.len() <= 3);
    support::assert_sound(&seen);
}

/// Opened as root, any file can be written: the test runs itself once more as someone else.
#[cfg(unix)]
#[test]
fn a_read_only_file_can_be_read_and_says_so_when_it_is_written() {
    use std::os::unix::{fs::PermissionsExt, process::CommandExt};
    const NAME: &str = "a_read_only_file_can_be_read_and_says_so_when_it_is_written";
    const ENV: &str = "ES_SQLITE_READ_ONLY_FILE";
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some(path) = std::env::var_os(ENV) {
        return runtime.block_on(use_read_only(Path::new(&path)));
    }
    let (folder, path) = folder();
    runtime.block_on(async {
        let store = SqliteStore::open(&path).await.unwrap();
        append(&store, "a", 2).await;
        store.shutdown().await.unwrap();
    });
    mode(&path, 0o444);
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again.args([NAME, "--exact", "--nocapture"]).env(ENV, &path);
    if std::fs::OpenOptions::new().write(true).open(&path).is_ok() {
        again.uid(65_534).gid(65_534);
    }
    // A folder that can be written, then one that can't.
    for folder_mode in [0o777, 0o555] {
        mode(folder.path(), folder_mode);
        match again.output() {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => eprintln!("SKIPPED: the test can't be run as another user: {error}"),
        }
        mode(folder.path(), 0o777);
        for suffix in ["db-wal", "db-shm"] {
            let _ = std::fs::remove_file(path.with_extension(suffix));
        }
    }
}

#[cfg(unix)]
async fn use_read_only(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if path.parent().unwrap().metadata().unwrap().permissions().mode() & 0o222 == 0 {
        let error = SqliteStore::open(path).await.unwrap_err();
        assert!(matches!(error, Error::ReadOnly { .. }), "{error}");
        return;
    }
    let store = SqliteStore::open(path).await.unwrap();
    assert_eq!(log(&store).await.len(), 2);
    let commit = es_core::Commit::append(stream("a"), es_core::Expected::Any, events(1));
    let error = store.append(commit).await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error}");
    assert_eq!(store.head().await.unwrap(), 2);
    store.shutdown().await.unwrap();
}
