//! Backups: made while others write, checked, whole or not there.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use es_core::{Commit, Error, EventLog, EventStore, Expected, StreamKey};
use es_sqlite::{SqliteStore, verify};
use support::{
    append, assert_sound, commit, events, folder,
    killed::{run_and_kill, to_be_killed},
    large, log, open_account, payloads, stream,
};

#[tokio::test]
async fn a_copy_is_the_store_at_one_moment_and_goes_on_as_one() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "acc-1").await;
    append(&store, "acc-2", 3).await;
    let target = folder.path().join("copy.db");
    let report = store.backup(&target).await.unwrap();
    assert_eq!((report.events, report.streams, report.head, report.is_sound()), (4, 2, 4, true));
    append(&store, "acc-2", 1).await;

    let beside = |suffix: &str| target.with_extension(suffix).exists();
    assert!(!beside("db-wal") && !beside("db-shm") && !beside("db-journal"), "a copy is one file");
    assert!(verify(&target).await.unwrap().is_sound());
    let copy = SqliteStore::builder(&target).create(false).open().await.unwrap();
    assert_eq!(copy.identity(), store.identity());
    assert_eq!(log(&copy).await, log(&store).await[..4]);
    assert_eq!(append(&copy, "acc-2", 1).await.versions, [4]);
    let stale = Commit::append(stream("acc-2"), Expected::Exact(3), events(1));
    assert!(matches!(copy.append(stale).await, Err(Error::Conflict { actual: 4, .. })));
    copy.shutdown().await.unwrap();
    store.shutdown().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_copy_can_be_read_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let target = folder.path().join("copy.db");
    store.backup(&target).await.unwrap();
    assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

/// 64 tasks append while copies are made, one after the other.
async fn copies_under_load() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    // Larger than what one step copies.
    let large: Vec<_> = (0..64).map(|_| es_core::NewEvent::raw("bank.v1.Noted", vec![7; 100_000])).collect();
    commit(&store, Commit::append(stream("large"), Expected::Any, large)).await.unwrap();
    let end = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..64)
        .map(|task| {
            let (store, end) = (store.clone(), Arc::clone(&end));
            tokio::spawn(async move {
                let mut version = 0;
                while !end.load(Ordering::Relaxed) {
                    let own = Commit::append(stream(&format!("own-{task}")), Expected::Exact(version), events(1));
                    commit(&store, own.and(stream("shared"), Expected::Any, events(1))).await.unwrap();
                    version += 1;
                }
            })
        })
        .collect();
    let mut heads = Vec::new();
    for n in 0..4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let target = folder.path().join(format!("copy-{n}.db"));
        let acknowledged = append(&store, "before", 1).await.position;
        let report = store.backup(&target).await.unwrap();
        assert!(
            report.head >= acknowledged,
            "{} was acknowledged before, the copy ends at {}",
            acknowledged,
            report.head
        );
        heads.push(report.head);
    }
    end.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let whole = log(&store).await;
    assert!(whole.len() as u64 > heads[3] && heads[3] > heads[0] + 100, "nothing was written meanwhile: {heads:?}");
    for (n, head) in heads.into_iter().enumerate() {
        let copy = SqliteStore::open(folder.path().join(format!("copy-{n}.db"))).await.unwrap();
        let copied = log(&copy).await;
        assert_sound(&copied);
        assert!(copied == whole[..head as usize], "copy {n} is not the log up to {head}");
        assert_eq!(payloads(&copy, "before", 0).await.unwrap().len(), n + 1);
        let shared = copy.version(&stream("shared")).await.unwrap();
        assert_eq!(append(&copy, "shared", 2).await.versions, [shared + 2]);
        assert_eq!(copy.head().await.unwrap(), head + 2);
        copy.shutdown().await.unwrap();
        assert!(verify(copy.path()).await.unwrap().is_sound());
    }
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn copies_made_under_load_hold_what_was_acknowledged_before() {
    copies_under_load().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_made_under_load_hold_what_was_acknowledged_before_on_several_threads() {
    copies_under_load().await;
}

#[tokio::test]
async fn an_existing_file_is_refused_and_left_alone() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    append(&store, "a", 1).await;
    let target = folder.path().join("copy.db");
    for content in [&b""[..], b"precious"] {
        std::fs::write(&target, content).unwrap();
        let error = store.backup(&target).await.unwrap_err();
        assert!(matches!(error, Error::InvalidRequest { .. }), "{error}");
        assert!(error.to_string().ends_with("copy.db exists already; a backup goes into a new file"), "{error}");
        assert_eq!(std::fs::read(&target).unwrap(), content);
    }
    for taken in [&path, folder.path()] {
        assert!(matches!(store.backup(taken).await, Err(Error::InvalidRequest { .. })), "{}", taken.display());
    }
    append(&store, "a", 1).await;
    assert!(verify(&path).await.unwrap().is_sound());
    // The log of a former file of that name would be taken for the copy's.
    std::fs::remove_file(&target).unwrap();
    std::fs::write(folder.path().join("copy.db-wal"), b"of a former file").unwrap();
    let error = store.backup(&target).await.unwrap_err();
    assert!(matches!(error, Error::InvalidRequest { .. }) && !target.exists(), "{error}");
    assert!(folder.path().join("copy.db-wal").exists());
    // What another backup is making is not ours to touch.
    std::fs::remove_file(folder.path().join("copy.db-wal")).unwrap();
    std::fs::write(folder.path().join("copy.db.partial"), b"half a copy").unwrap();
    let error = store.backup(&target).await.unwrap_err();
    assert!(error.to_string().contains("copy.db.partial exists: another backup is under way"), "{error}");
    assert_eq!(std::fs::read(folder.path().join("copy.db.partial")).unwrap(), b"half a copy");
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_is_not_followed() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let target = folder.path().join("copy.db");
    let elsewhere = folder.path().join("elsewhere.db");
    std::os::unix::fs::symlink(&elsewhere, &target).unwrap();
    assert!(matches!(store.backup(&target).await, Err(Error::InvalidRequest { .. })));
    assert!(!elsewhere.exists());
}

#[tokio::test]
async fn a_backup_that_was_killed_is_not_there() {
    if let Some(folder) = to_be_killed() {
        let store = SqliteStore::open(folder.join("bank.db")).await.unwrap();
        store.backup(folder.join("copy.db")).await.unwrap();
        return;
    }
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    large(&store).await;
    store.shutdown().await.unwrap();
    let (target, partial) = (folder.path().join("copy.db"), folder.path().join("copy.db.partial"));
    let mut killed = 0;
    for n in 0..10 {
        let after = Duration::from_millis(n * 8);
        run_and_kill("a_backup_that_was_killed_is_not_there", folder.path(), &partial, after);
        if target.exists() {
            assert!(verify(&target).await.unwrap().is_sound(), "named, so it is whole");
            std::fs::remove_file(&target).unwrap();
        } else {
            killed += 1;
        }
        for suffix in ["copy.db.partial", "copy.db.partial-journal", "copy.db-wal", "copy.db-shm"] {
            let _ = std::fs::remove_file(path.with_file_name(suffix));
        }
    }
    assert!(killed > 0, "every backup was done before it was killed");
}

#[tokio::test]
async fn a_missing_folder_and_names_that_are_none_are_typed_errors() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let error = store.backup(folder.path().join("missing").join("copy.db")).await.unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("the folder") && source.ends_with("does not exist"), "{source}");
    for name in ["", ":memory:"] {
        assert!(matches!(store.backup(name).await, Err(Error::InvalidRequest { .. })));
    }
}

#[tokio::test]
async fn a_damaged_store_gives_no_copy() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    append(&store, "a", 3).await;
    store.shutdown().await.unwrap();
    support::damage::by_hand(&path, "UPDATE es_events SET payload = x'00' WHERE position = 2");
    let store = SqliteStore::open(&path).await.unwrap();
    let target = folder.path().join("copy.db");
    let error = store.backup(&target).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert!(error.to_string().ends_with("event at position 2: its checksum is wrong"), "{error}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("copy")), "{left:?}");
}

#[tokio::test]
async fn a_backup_that_nobody_waits_for_leaves_nothing() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    large(&store).await;
    let target = folder.path().join("copy.db");
    let under_way = async {
        while !folder.path().join("copy.db.partial").exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        done = store.backup(&target) => panic!("too early to be done: {done:?}"),
        () = under_way => {}
    }
    let left = || {
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("copy")).collect::<Vec<_>>()
    };
    for _ in 0..1_000 {
        if left().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(left().is_empty() && !target.exists(), "{:?}", left());
    assert!(store.backup(&target).await.unwrap().is_sound());
    assert_eq!(left(), ["copy.db"]);
}

#[tokio::test]
async fn after_a_shutdown_there_is_no_backup() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    store.shutdown().await.unwrap();
    let target = folder.path().join("copy.db");
    assert!(matches!(store.backup(&target).await, Err(Error::ShuttingDown)));
    assert!(!target.exists());
}

/// A tenant, a claim, an answer, a read model: what a copy must have besides events.
#[tokio::test]
async fn a_copy_has_unique_keys_answers_and_read_models() {
    use es_core::{Answer, Appended, CommandId, CommandRecord};
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let balances = es_sqlite::SqliteProjection::builder("balances")
        .migration("CREATE TABLE seen (position INTEGER PRIMARY KEY) STRICT")
        .build(&store)
        .unwrap();
    let event = events(1).remove(0).claim("email", "ada@example.org");
    let record = || CommandRecord {
        id: CommandId::new("c-1").unwrap(),
        payload_hash: [1; 32],
        answer: Answer::Accepted(b"done".to_vec()),
        stream: stream("a"),
        version: 1,
    };
    let first = Commit::append(stream("a"), Expected::NoStream, vec![event]).command(record());
    store.append(first.clone()).await.unwrap();
    balances.catch_up().await.unwrap();
    let target = folder.path().join("copy.db");
    store.backup(&target).await.unwrap();

    let copy = SqliteStore::open(&target).await.unwrap();
    assert!(matches!(copy.append(first).await.unwrap(), Appended::Replayed(_)));
    let holder: Option<StreamKey> = copy.claimant(None, "email", "ada@example.org").await.unwrap();
    assert_eq!(holder, Some(stream("a")));
    let taken = vec![events(1).remove(0).claim("email", "ada@example.org")];
    let taking = Commit::append(stream("b"), Expected::NoStream, taken);
    assert!(matches!(copy.append(taking).await, Err(Error::UniqueTaken { .. })));
    let again = es_sqlite::SqliteProjection::builder("balances")
        .migration("CREATE TABLE seen (position INTEGER PRIMARY KEY) STRICT")
        .build(&copy)
        .unwrap();
    assert_eq!(again.catch_up().await.unwrap(), 1);
}
