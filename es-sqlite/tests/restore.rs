//! Restores: a store from a backup, in an epoch of its own, whole or not there.

mod support;

use std::time::{Duration, Instant};

use es_core::{Error, EventLog};
use es_sqlite::{Finding, SqliteStore, verify};
use support::{
    append, damage, folder,
    killed::{run_and_kill, to_be_killed},
    large, log, open_account,
};

#[tokio::test]
async fn a_restored_store_keeps_its_id_and_begins_an_epoch_where_the_backup_ends() {
    let (_folder, path) = folder();
    let at = |name: &str| path.with_file_name(name);
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!((store.identity().epoch, store.epochs()), (0, vec![]));
    append(&store, "a", 3).await;
    store.backup(at("backup.db")).await.unwrap();
    append(&store, "a", 2).await;
    store.shutdown().await.unwrap();
    std::fs::rename(&path, at("lost.db")).unwrap();

    let report = SqliteStore::restore(at("backup.db"), &path).await.unwrap();
    assert_eq!((report.head, report.is_sound()), (3, true));
    let restored = SqliteStore::builder(&path).create(false).open().await.unwrap();
    assert_eq!(restored.identity().id, store.identity().id);
    let epoch = restored.identity().epoch;
    assert!(epoch > 0);
    assert_eq!(restored.epochs().iter().map(|it| (it.number, it.began_after)).collect::<Vec<_>>(), [(epoch, 3)]);
    assert_eq!(log(&restored).await, log(&SqliteStore::open(at("lost.db")).await.unwrap()).await[..3]);
    assert_eq!(append(&restored, "a", 1).await.versions, [4]);

    // And once more, from a backup of that.
    restored.backup(at("backup-2.db")).await.unwrap();
    restored.shutdown().await.unwrap();
    assert_eq!(SqliteStore::restore(at("backup-2.db"), at("again.db")).await.unwrap().head, 4);
    let again = SqliteStore::open(at("again.db")).await.unwrap();
    let epochs = again.epochs();
    assert_eq!(epochs.iter().map(|it| it.began_after).collect::<Vec<_>>(), [3, 4]);
    assert!(epochs[0].number == epoch && epochs[1].number == again.identity().epoch && again.identity().epoch > epoch);
    again.shutdown().await.unwrap();
    assert!(verify(at("again.db")).await.unwrap().is_sound());
}

#[tokio::test]
async fn two_restores_of_one_backup_begin_two_epochs() {
    let (_folder, path) = folder();
    let backup = path.with_file_name("backup.db");
    let store = SqliteStore::open(&path).await.unwrap();
    append(&store, "a", 1).await;
    store.backup(&backup).await.unwrap();
    let mut epochs = Vec::new();
    for name in ["one.db", "two.db"] {
        SqliteStore::restore(&backup, path.with_file_name(name)).await.unwrap();
        epochs.push(SqliteStore::open(path.with_file_name(name)).await.unwrap().identity().epoch);
    }
    assert!(epochs[0] < epochs[1], "{epochs:?}");
}

#[tokio::test]
async fn nothing_that_is_there_is_overwritten() {
    let (folder, path) = folder();
    let backup = folder.path().join("backup.db");
    let store = SqliteStore::open(&path).await.unwrap();
    append(&store, "a", 1).await;
    store.backup(&backup).await.unwrap();
    append(&store, "a", 1).await;
    let error = SqliteStore::restore(&backup, &path).await.unwrap_err();
    assert!(matches!(error, Error::InvalidRequest { .. }), "{error}");
    let words =
        "bank.db exists already; a store is restored into a new file: stop what uses the former one and move it";
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(append(&store, "a", 1).await.position, 3, "the store is as it was");
    assert!(matches!(SqliteStore::restore(&backup, &backup).await, Err(Error::InvalidRequest { .. })));

    // What is left of the lost store would be taken for the log of the restored one.
    let target = folder.path().join("restored.db");
    std::fs::write(folder.path().join("restored.db-wal"), b"of the lost store").unwrap();
    let error = SqliteStore::restore(&backup, &target).await.unwrap_err();
    assert!(error.to_string().contains("has the log of a former file beside it"), "{error}");
    std::fs::remove_file(folder.path().join("restored.db-wal")).unwrap();

    std::fs::write(folder.path().join("restored.db.partial"), b"half a store").unwrap();
    let error = SqliteStore::restore(&backup, &target).await.unwrap_err();
    assert!(error.to_string().contains("restored.db.partial exists: another restore is under way"), "{error}");
    assert_eq!(std::fs::read(folder.path().join("restored.db.partial")).unwrap(), b"half a store");
    assert!(!target.exists());
}

#[tokio::test]
async fn what_is_no_backup_is_refused_and_makes_no_file() {
    let (folder, path) = folder();
    let target = folder.path().join("restored.db");
    let store = SqliteStore::open(&path).await.unwrap();
    append(&store, "a", 3).await;
    store.shutdown().await.unwrap();
    std::fs::write(folder.path().join("text.db"), "a text ".repeat(100)).unwrap();
    std::fs::write(folder.path().join("empty.db"), b"").unwrap();
    for (name, words) in [
        ("none.db", "opening"),
        ("text.db", "is not an event store: it is not an SQLite file"),
        ("empty.db", "is not an event store: it is empty"),
    ] {
        let error = SqliteStore::restore(folder.path().join(name), &target).await.unwrap_err();
        assert!(error.to_string().contains(words), "{name}: {error}");
    }
    damage::by_hand(&path, "UPDATE es_events SET payload = x'00' WHERE position = 2");
    let error = SqliteStore::restore(&path, &target).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    let words = "bank.db: event at position 2: its checksum is wrong";
    assert!(
        error.to_string().starts_with("corrupt data: the backup ") && error.to_string().ends_with(words),
        "{error}"
    );
    let mut left = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!left.any(|name| name.to_string_lossy().starts_with("restored")));
}

#[cfg(unix)]
#[tokio::test]
async fn a_restored_store_can_be_read_by_its_owner_only_and_its_backup_may_be_read_only() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = folder();
    let (backup, target) = (folder.path().join("backup.db"), folder.path().join("restored.db"));
    let store = SqliteStore::open(&path).await.unwrap();
    append(&store, "a", 1).await;
    store.backup(&backup).await.unwrap();
    std::fs::set_permissions(&backup, PermissionsExt::from_mode(0o444)).unwrap();
    let before = std::fs::read(&backup).unwrap();
    SqliteStore::restore(&backup, &target).await.unwrap();
    assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read(&backup).unwrap() == before);
    let beside = |suffix: &str| target.with_extension(suffix).exists();
    assert!(!beside("db-wal") && !beside("db-shm") && !beside("db-journal"), "it is one file");
}

#[tokio::test]
async fn a_restore_that_was_killed_is_not_there() {
    if let Some(folder) = to_be_killed() {
        SqliteStore::restore(folder.join("backup.db"), folder.join("restored.db")).await.unwrap();
        return;
    }
    let (folder, path) = folder();
    let at = |name: &str| folder.path().join(name);
    let store = SqliteStore::open(&path).await.unwrap();
    large(&store).await;
    store.backup(at("backup.db")).await.unwrap();
    store.shutdown().await.unwrap();
    let mut killed = 0;
    for n in 0..10 {
        let after = Duration::from_millis(n * 8);
        run_and_kill("a_restore_that_was_killed_is_not_there", folder.path(), &at("restored.db.partial"), after);
        if at("restored.db").exists() {
            assert!(verify(at("restored.db")).await.unwrap().is_sound(), "named, so it is whole");
            let restored = SqliteStore::open(at("restored.db")).await.unwrap();
            assert_eq!(restored.epochs().len(), 1);
            restored.shutdown().await.unwrap();
            std::fs::remove_file(at("restored.db")).unwrap();
        } else {
            killed += 1;
        }
        for name in ["restored.db.partial", "restored.db.partial-journal"] {
            let _ = std::fs::remove_file(at(name));
        }
    }
    assert!(killed > 0, "every restore was done before it was killed");
    assert!(verify(at("backup.db")).await.unwrap().is_sound());
}

#[tokio::test]
async fn a_restore_that_nobody_waits_for_leaves_nothing() {
    let (folder, path) = folder();
    let at = |name: &str| folder.path().join(name);
    let store = SqliteStore::open(&path).await.unwrap();
    large(&store).await;
    store.shutdown().await.unwrap();
    let under_way = async {
        while !at("restored.db.partial").exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        done = SqliteStore::restore(&path, at("restored.db")) => panic!("too early to be done: {done:?}"),
        () = under_way => {}
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while at("restored.db.partial").exists() {
        assert!(Instant::now() < deadline, "it goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!at("restored.db").exists());
    assert!(SqliteStore::restore(&path, at("restored.db")).await.unwrap().is_sound());
}

#[tokio::test]
async fn epochs_that_were_tampered_with_are_found() {
    let (folder, path) = folder();
    let restored = folder.path().join("restored.db");
    let store = SqliteStore::open(&path).await.unwrap();
    open_account(&store, "a").await;
    store.shutdown().await.unwrap();
    SqliteStore::restore(&path, &restored).await.unwrap();
    for (sql, words) in [
        ("UPDATE es_epochs SET began_after = 9", "an epoch began after position 9, the log ends at 1"),
        ("UPDATE es_meta SET epoch = 3", "the store is in epoch 3"),
    ] {
        damage::by_hand(&restored, sql);
        let findings = verify(&restored).await.unwrap().findings;
        let [Finding::Table { table: "es_epochs", why }] = &findings[..] else { panic!("{findings:?}") };
        assert!(why.ends_with(words), "{why}");
    }
}
