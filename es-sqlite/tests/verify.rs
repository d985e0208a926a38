//! Checking a store: a sound one gives no findings, damage is named where it is, and a file in use may be checked.

mod support;

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use es_core::{
    AggregateId, Answer, CommandId, CommandRecord, Commit, Error, EventLog, EventStore, Expected, Filter, Metadata,
    NewEvent, RecordedEvent, Request, ScheduleKey, ScheduledCommand, Snapshot, StreamKey, Tenant, Timestamp,
};
use es_sqlite::{Finding, OnFailure, SqliteProjection, SqliteStore, rusqlite::Connection, verify};
use support::{AccountHooks, append, damage::by_hand, deposit, folder, log, open_account, stream};

fn noted(n: u64) -> NewEvent {
    NewEvent::raw("bank.v1.Noted", format!("payload-{n}-").repeat(3))
}

fn answered(id: &str, stream: StreamKey) -> CommandRecord {
    let (id, answer) = (CommandId::new(id).unwrap(), Answer::Accepted(b"done".to_vec()));
    CommandRecord { id, payload_hash: [1; 32], answer, stream, version: 1 }
}

/// A closed store of 13 events on four streams, in commits of one and one of three, with all that may refer to them.
async fn a_store(path: &Path) -> Vec<RecordedEvent> {
    let store = SqliteStore::open(path).await.unwrap();
    let balances = SqliteProjection::builder("balances").on_money_deposited(|_, _, _| Ok(())).build(&store).unwrap();
    for n in 0..9 {
        let metadata = Metadata::default().principal(format!("principal-{n}"));
        let event = noted(n).claim("note", n.to_string());
        let commit = Commit::append(stream(&format!("s{}", n % 3)), Expected::Any, vec![event]).metadata(metadata);
        store.append(commit).await.unwrap();
    }
    // A key changes hands within a commit.
    let giving = Commit::append(stream("s0"), Expected::Exact(3), vec![noted(10).release("note", "0")]);
    let taking = vec![noted(11).claim("note", "0").claim("note", "11"), noted(12).release("note", "11")];
    let swap = giving.and(stream("s1"), Expected::Exact(3), taking).command(answered("c-1", stream("s0")));
    store.append(swap).await.unwrap();
    store.append(Commit::default().command(answered("c-2", stream("nobody")))).await.unwrap();
    let tenant = Tenant::new("acme").unwrap();
    let of_tenant = StreamKey::new(Some(tenant), "bank.v1.Account", AggregateId::new("s0").unwrap());
    let last = Commit::append(of_tenant.clone(), Expected::NoStream, vec![noted(13).claim("note", "0")]);
    store.append(last.command(answered("c-1", of_tenant))).await.unwrap();
    let at = |key: &str| {
        let request = Request::new("bank.v1.Bank", "Remind", "what was written");
        ScheduledCommand::new(ScheduleKey::new(key).unwrap(), Timestamp::from_micros(7), request)
    };
    store.append(Commit::default().schedule(at("r-1")).schedule(at("r-2"))).await.unwrap();
    store.offer_snapshot(Snapshot { stream: stream("s1"), fingerprint: 7, version: 3, state: b"state".to_vec() });
    balances.catch_up().await.unwrap();
    let log = log(&store).await;
    store.shutdown().await.unwrap();
    log
}

async fn found(path: &Path) -> Vec<String> {
    verify(path).await.unwrap().findings.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_sound_store_gives_no_findings() {
    let (_folder, path) = folder();
    SqliteStore::open(&path).await.unwrap().shutdown().await.unwrap();
    let report = verify(&path).await.unwrap();
    assert_eq!(report.to_string(), "sound: 0 events in 0 streams, the last at position 0");
    a_store(&path).await;
    let pristine = std::fs::read(&path).unwrap();
    let report = verify(&path).await.unwrap();
    assert_eq!((report.events, report.streams, report.head, report.is_sound()), (13, 4, 13, true));
    assert_eq!(report.findings, []);
    assert!(std::fs::read(&path).unwrap() == pristine, "a check writes nothing");
}

#[tokio::test]
async fn a_change_in_any_column_of_an_event_is_found_there_and_nowhere_else() {
    let (_folder, path) = folder();
    a_store(&path).await;
    let pristine = std::fs::read(&path).unwrap();
    let numbers = ["version", "schema_version", "encoding", "commit_index", "commit_rest", "recorded_at", "checksum"];
    let flips = numbers.map(|column| format!("{column} = {column} + 1000000")).into_iter().chain([
        "stream = 3, version = version + 1000000".into(),
        "recorded_at = recorded_at - 1000000".into(),
        "encoding = 1".into(),
        "payload = CAST('Payload-4-payload-4-payload-4-' AS BLOB)".into(),
        "payload = x''".into(),
        "payload = substr(payload, 1, length(payload) - 1)".into(),
        "metadata = x''".into(),
        "metadata = x'ffff'".into(),
        "metadata = CAST(replace(CAST(metadata AS TEXT), 'principal', 'Principal') AS BLOB)".into(),
    ]);
    for flip in flips {
        for position in 1..=13 {
            std::fs::write(&path, &pristine).unwrap();
            by_hand(&path, &format!("UPDATE es_events SET {flip} WHERE position = {position}"));
            let expected = [format!("event at position {position}: its checksum is wrong")];
            if flip.contains("principal") && position > 9 {
                assert!(verify(&path).await.unwrap().is_sound(), "nothing to replace");
            } else {
                assert_eq!(found(&path).await, expected, "{flip} at {position}");
            }
        }
    }
    for (flip, what) in [("stream", "stream"), ("type", "event type")] {
        std::fs::write(&path, &pristine).unwrap();
        by_hand(&path, &format!("UPDATE es_events SET {flip} = 77 WHERE position = 5"));
        let expected = format!("event at position 5: {what} number 77: events refer to it, but it is not there");
        assert_eq!(found(&path).await, [expected], "{flip}");
    }
}

#[tokio::test]
async fn a_missing_event_is_found_and_what_follows_from_it_is_not_repeated() {
    let (_folder, path) = folder();
    a_store(&path).await;
    let pristine = std::fs::read(&path).unwrap();
    for position in 1..=12 {
        std::fs::write(&path, &pristine).unwrap();
        by_hand(&path, &format!("DELETE FROM es_events WHERE position = {position}"));
        let report = verify(&path).await.unwrap();
        let missing = Finding::Missing { first: position, last: position, why: "missing".into() };
        assert_eq!((report.findings, report.events, report.head), (vec![missing], 12, 13), "{position}");
    }
}

#[tokio::test]
async fn a_log_that_lost_its_end_is_found_by_what_refers_to_it() {
    let (_folder, path) = folder();
    a_store(&path).await;
    by_hand(&path, "DELETE FROM es_events WHERE position = 13");
    assert_eq!(
        found(&path).await,
        [
            "stream acme:bank.v1.Account/s0: it has no events",
            "unique key `0` of `note` of tenant acme: acme:bank.v1.Account/s0 holds it, by the events nobody does",
            "answer to command c-1 of tenant acme: it is of position 13, the log ends at 12",
            "checkpoint of projection `balances`: it is at position 13, the log ends at 12",
        ]
    );
    // In the middle of a commit the log itself says so.
    by_hand(&path, "DELETE FROM es_events WHERE position = 12");
    let found = found(&path).await;
    assert_eq!(found[0], "event at position 12: missing, and the commit before it is not whole", "{found:?}");
}

#[tokio::test]
async fn a_renumbered_event_is_found_where_it_was_and_where_it_is() {
    let (_folder, path) = folder();
    a_store(&path).await;
    by_hand(&path, "UPDATE es_events SET position = 15 WHERE position = 5");
    assert_eq!(
        found(&path).await,
        [
            "event at position 5: missing",
            "event at position 14: missing",
            "event at position 15: its checksum is wrong"
        ]
    );
}

#[tokio::test]
async fn a_renamed_stream_or_type_is_found_by_each_of_its_events() {
    let (_folder, path) = folder();
    a_store(&path).await;
    let pristine = std::fs::read(&path).unwrap();
    let wrong = |positions: &[u64]| {
        positions.iter().map(|p| format!("event at position {p}: its checksum is wrong")).collect::<Vec<_>>()
    };
    for (sql, positions) in [
        ("UPDATE es_streams SET aggregate_id = 's7' WHERE id = 2", &[2, 5, 8, 11, 12][..]),
        ("UPDATE es_streams SET tenant = 'evil' WHERE id = 2", &[2, 5, 8, 11, 12]),
        ("UPDATE es_types SET name = 'bank.v1.Denied'", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]),
    ] {
        std::fs::write(&path, &pristine).unwrap();
        by_hand(&path, sql);
        assert_eq!(found(&path).await, wrong(positions), "{sql}");
    }
}

#[tokio::test]
async fn damage_in_what_refers_to_events_is_named_and_nothing_else_is() {
    let (_folder, path) = folder();
    a_store(&path).await;
    let pristine = std::fs::read(&path).unwrap();
    let account = "bank.v1.Account";
    for (sql, expected) in [
        (
            "INSERT INTO es_streams VALUES (9, '', 'bank.v1.Account', 'ghost')",
            format!("stream {account}/ghost: it has no events"),
        ),
        (
            "INSERT INTO es_claims VALUES ('', 'note', 'foreign', 1)",
            format!("unique key `foreign` of `note`: {account}/s0 holds it, by the events nobody does"),
        ),
        (
            "INSERT INTO es_claims VALUES ('', 'note', 'foreign', 77)",
            "unique key `foreign` of `note`: number 77 holds it, by the events nobody does".into(),
        ),
        (
            "UPDATE es_claims SET stream = 1 WHERE tenant = '' AND key = '0'",
            format!("unique key `0` of `note`: {account}/s0 holds it, by the events {account}/s1 does"),
        ),
        (
            "DELETE FROM es_claims WHERE tenant = 'acme'",
            format!("unique key `0` of `note` of tenant acme: nobody holds it, by the events acme:{account}/s0 does"),
        ),
        (
            "UPDATE es_commands SET response = CAST('900' AS BLOB) WHERE id = 'c-2'",
            "answer to command c-2: its checksum is wrong".into(),
        ),
        (
            "UPDATE es_commands SET position = 99 WHERE tenant = 'acme'",
            "answer to command c-1 of tenant acme: its checksum is wrong".into(),
        ),
        (
            "UPDATE es_commands SET id = 'c-9' WHERE tenant = 'acme'",
            "answer to command c-9 of tenant acme: its checksum is wrong".into(),
        ),
        (
            "UPDATE es_scheduled SET due_at = 8 WHERE key = 'r-1'",
            "command scheduled under `r-1`: its checksum is wrong".into(),
        ),
        (
            "UPDATE es_scheduled SET tenant = 'acme' WHERE key = 'r-2'",
            "command scheduled under `r-2` of tenant acme: its checksum is wrong".into(),
        ),
        (
            "UPDATE es_scheduled SET command_id = 'c-9' WHERE key = 'r-2'",
            "command scheduled under `r-2`: its checksum is wrong".into(),
        ),
        (
            "UPDATE es_scheduled SET request = x'00' WHERE key = 'r-1'",
            "command scheduled under `r-1`: its checksum is wrong".into(),
        ),
        (
            "UPDATE es_checkpoints SET position = 14",
            "checkpoint of projection `balances`: it is at position 14, the log ends at 13".into(),
        ),
        ("DELETE FROM es_meta", "table es_meta: the store's id is missing".into()),
    ] {
        std::fs::write(&path, &pristine).unwrap();
        by_hand(&path, sql);
        let report = verify(&path).await.unwrap();
        assert_eq!(report.findings.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected], "{sql}");
        assert!(!report.is_sound(), "{sql}");
    }
    std::fs::write(&path, &pristine).unwrap();
    by_hand(&path, "UPDATE es_checkpoints SET store_id = zeroblob(16)");
    let found = found(&path).await;
    let [line] = found.as_slice() else { panic!("{found:?}") };
    let start = "checkpoint of projection `balances`: it follows store 00000000-0000-0000-0000-000000000000, this is";
    assert!(line.starts_with(start), "{line}");
}

#[tokio::test]
async fn an_event_that_a_projection_has_parked_must_be_in_the_log_and_of_its_stream() {
    let (_folder, path) = folder();
    a_store(&path).await;
    let store = SqliteStore::open(&path).await.unwrap();
    let unlucky = SqliteProjection::builder("unlucky").on_failure(OnFailure::ParkAggregate).retries(0);
    let unlucky =
        unlucky.on_money_deposited(|_, event, _| if event.cents == 13 { Err("not 13".into()) } else { Ok(()) });
    let unlucky = unlucky.build(&store).unwrap();
    open_account(&store, "a").await;
    deposit(&store, &[("a", 13)]).await;
    deposit(&store, &[("a", 1)]).await;
    unlucky.catch_up().await.unwrap();
    assert_eq!(unlucky.parked().await.unwrap().len(), 2);
    store.shutdown().await.unwrap();
    assert!(found(&path).await.is_empty());
    let pristine = std::fs::read(&path).unwrap();
    let of = "not handled by projection `unlucky`";
    for (sql, expected) in [
        (
            "UPDATE es_parked SET position = 99 WHERE position = 15",
            vec![format!("event at position 99, {of}: it is not in the log, which ends at 16")],
        ),
        (
            "UPDATE es_parked SET position = 0 WHERE position = 15",
            vec![format!("event at position 0, {of}: it is not in the log, which ends at 16")],
        ),
        (
            "UPDATE es_parked SET position = 1 WHERE position = 16",
            vec![format!(
                "event at position 1, {of}: it is noted as one of bank.v1.Account/a, and is one of bank.v1.Account/s0"
            )],
        ),
        (
            "UPDATE es_parked SET tenant = 'acme' WHERE position = 16",
            vec![format!(
                "event at position 16, {of}: it is noted as one of acme:bank.v1.Account/a, and is one of bank.v1.Account/a"
            )],
        ),
        (
            "DELETE FROM es_checkpoints WHERE name = 'unlucky'",
            [15, 16]
                .map(|position| format!("event at position {position}, {of}: the projection has no checkpoint"))
                .into(),
        ),
    ] {
        std::fs::write(&path, &pristine).unwrap();
        by_hand(&path, sql);
        assert_eq!(found(&path).await, expected, "{sql}");
    }
    for change in ["stream = 1, version = 50", "stream = 77", "payload = x'00'", "position = 50"] {
        std::fs::write(&path, &pristine).unwrap();
        by_hand(&path, &format!("UPDATE es_events SET {change} WHERE position = 15"));
        let found = found(&path).await;
        assert!(!found.is_empty() && found.iter().all(|line| !line.contains(of)), "what follows from it: {found:?}");
    }
}

#[tokio::test]
async fn a_scheduled_command_that_its_index_of_times_does_not_lead_to_is_found() {
    let (_folder, path) = folder();
    a_store(&path).await;
    let by_hand = |sql: &str| {
        let hand = Connection::open(&path).unwrap();
        hand.execute_batch(&format!("PRAGMA writable_schema = on; {sql}")).unwrap();
        hand.close().unwrap();
    };
    // Unknown to SQLite for a moment, the index does not take part in the change.
    by_hand(
        "UPDATE sqlite_schema SET type = 'x', name = 'x', tbl_name = 'x', sql = '-- ' || sql WHERE name = 'es_scheduled_due'",
    );
    by_hand("UPDATE es_scheduled SET rowid = 100 WHERE key = 'r-1'");
    by_hand(
        "UPDATE sqlite_schema SET type = 'index', name = 'es_scheduled_due', tbl_name = 'es_scheduled', sql = substr(sql, 4)
         WHERE name = 'x'",
    );
    assert_eq!(found(&path).await, ["command scheduled under `r-1`: the index of times does not lead to it"]);
}

#[tokio::test]
async fn a_damaged_snapshot_is_a_note_and_one_ahead_of_its_stream_is_a_finding() {
    let (_folder, path) = folder();
    a_store(&path).await;
    let pristine = std::fs::read(&path).unwrap();
    for damage in ["state = x'00'", "version = 99", "version = -1", "fingerprint = 8", "checksum = 0", "stream = 77"] {
        std::fs::write(&path, &pristine).unwrap();
        by_hand(&path, &format!("UPDATE es_snapshots SET {damage}"));
        let report = verify(&path).await.unwrap();
        assert!(matches!(&report.findings[..], [Finding::DamagedSnapshot { .. }]), "{damage}: {report}");
        assert!(report.is_sound(), "{damage}: snapshots are a cache");
    }
    // Not damaged, but of events that are gone.
    std::fs::write(&path, &pristine).unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    append(&store, "s2", 1).await;
    store.offer_snapshot(Snapshot { stream: stream("s2"), fingerprint: 9, version: 4, state: b"four".to_vec() });
    store.shutdown().await.unwrap();
    by_hand(&path, "DELETE FROM es_events WHERE position = 14");
    let ahead = Finding::SnapshotAhead { stream: "bank.v1.Account/s2".into(), fingerprint: 9, version: 4, head: 3 };
    let report = verify(&path).await.unwrap();
    assert!(!report.is_sound());
    assert_eq!(report.findings, [ahead]);
}

#[tokio::test]
async fn what_is_no_store_is_a_typed_error_and_left_alone() {
    let (folder, path) = folder();
    assert!(matches!(verify(&path).await, Err(Error::Io { .. })));
    assert!(matches!(verify(path.with_file_name("missing").join("bank.db")).await, Err(Error::Io { .. })));
    assert!(matches!(verify(folder.path()).await, Err(Error::NotAStore { .. })));
    for content in [&b""[..], b"a text", &b"a text, only longer. ".repeat(500)] {
        std::fs::write(&path, content).unwrap();
        let error = verify(&path).await.unwrap_err();
        assert!(matches!(error, Error::NotAStore { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
    std::fs::remove_file(&path).unwrap();
    let hand = Connection::open(&path).unwrap();
    hand.execute_batch("PRAGMA journal_mode = wal").unwrap();
    assert!(matches!(verify(&path).await, Err(Error::NotAStore { .. })), "no tables");
    hand.execute_batch("CREATE TABLE cookies (id)").unwrap();
    assert!(matches!(verify(&path).await, Err(Error::NotAStore { .. })), "another program's");
    hand.close().unwrap();
    std::fs::remove_file(&path).unwrap();
    SqliteStore::open(&path).await.unwrap().shutdown().await.unwrap();
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 3).unwrap();
    newer.close().unwrap();
    let before = std::fs::read_dir(folder.path()).unwrap().count();
    assert!(matches!(verify(&path).await, Err(Error::SchemaTooNew { found: 3, supported: 2, .. })));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), before);
}

/// Flips bits all over the file: where the check finds nothing, everything reads as it was written.
#[tokio::test]
async fn a_flipped_bit_anywhere_in_the_file_is_found_or_makes_no_difference() {
    let (_folder, path) = folder();
    let original = a_store(&path).await;
    let pristine = std::fs::read(&path).unwrap();
    let mut found = 0;
    for (n, at) in (0..pristine.len()).step_by(199).enumerate() {
        let mut damaged = pristine.clone();
        damaged[at] ^= 1 << (n % 8);
        std::fs::write(&path, &damaged).unwrap();
        for suffix in ["db-wal", "db-shm"] {
            let _ = std::fs::remove_file(path.with_extension(suffix));
        }
        if !verify(&path).await.is_ok_and(|report| report.is_sound()) {
            found += 1;
            continue;
        }
        let store = SqliteStore::builder(&path).create(false).readers(1).open().await.unwrap();
        let page = store.read_all(0, 100, &Filter::all()).await.unwrap();
        assert_eq!(page.events, original, "byte {at}");
        store.shutdown().await.unwrap();
    }
    assert!(found > 20, "only {found} flips were found: is anything damaged at all?");
}

/// 200 damaged bytes in a page of a larger table: what can still be reached is still read.
#[tokio::test]
async fn a_damaged_page_is_found_and_the_events_of_others_are_counted() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    for n in 0..20 {
        append(&store, &format!("s{n}"), 50).await;
    }
    store.shutdown().await.unwrap();
    let pristine = std::fs::read(&path).unwrap();
    for page in 1..pristine.len() / 4_096 {
        let mut damaged = pristine.clone();
        damaged[page * 4_096..][..200].iter_mut().for_each(|byte| *byte ^= 0xa5);
        std::fs::write(&path, &damaged).unwrap();
        match verify(&path).await {
            Ok(report) => assert!(!report.is_sound(), "page {page}"),
            Err(error) => assert!(matches!(error, Error::Corrupt { .. } | Error::NotAStore { .. }), "{page}: {error}"),
        }
    }
    // The last page that holds events: those of the pages before it are whole.
    let table = pristine.windows(20).rposition(|window| window == [49; 20]).unwrap() / 4_096 * 4_096;
    let mut damaged = pristine;
    damaged[table..][..200].iter_mut().for_each(|byte| *byte ^= 0xa5);
    std::fs::write(&path, &damaged).unwrap();
    let report = verify(&path).await.unwrap();
    assert!(report.events > 800 && report.events < 1_000, "{}", report.events);
    assert!(matches!(report.findings[0], Finding::File { .. }), "{report}");
}

/// Writes from 64 tasks until told to end; says how many commits were acknowledged.
async fn busy(store: &SqliteStore, end: Arc<AtomicBool>) -> u64 {
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let (store, end) = (store.clone(), Arc::clone(&end));
            tokio::spawn(async move {
                let (mut commits, own) = (0, stream(&format!("own-{task}")));
                while !end.load(Ordering::Relaxed) {
                    let key = (commits / 2).to_string();
                    let event = match commits % 2 {
                        0 => noted(commits).claim(format!("c-{task}"), key),
                        _ => noted(commits).release(format!("c-{task}"), key),
                    };
                    let commit = Commit::append(own.clone(), Expected::Exact(commits), vec![event]);
                    let commit = commit.and(stream("shared"), Expected::Any, support::events(1));
                    let record = answered(&format!("{task}-{commits}"), own.clone());
                    store.append(commit.command(record)).await.unwrap();
                    commits += 1;
                }
                commits
            })
        })
        .collect();
    let mut commits = 0;
    for task in tasks {
        commits += task.await.unwrap();
    }
    commits
}

async fn a_file_in_use_is_sound() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    append(&store, "shared", 1_000).await;
    let end = Arc::new(AtomicBool::new(false));
    let checks = async {
        let mut heads = Vec::new();
        while heads.len() < 10 {
            let report = verify(&path).await.unwrap();
            assert_eq!(report.findings, []);
            heads.push(report.head);
        }
        end.store(true, Ordering::Relaxed);
        heads
    };
    let (commits, heads) = tokio::join!(busy(&store, Arc::clone(&end)), checks);
    assert!(heads.is_sorted() && heads[9] > heads[0], "nothing was written meanwhile: {heads:?}");
    assert_eq!(verify(&path).await.unwrap().head, 1_000 + 2 * commits);
    store.shutdown().await.unwrap();
    assert!(verify(&path).await.unwrap().is_sound());
}

#[tokio::test]
async fn a_file_that_64_tasks_write_to_is_sound() {
    a_file_in_use_is_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_64_tasks_write_to_is_sound_on_several_threads() {
    a_file_in_use_is_sound().await;
}

const FILE: &str = "ES_SQLITE_VERIFY_FILE";
const OTHER: &str = "a_file_that_another_process_writes_to_is_sound_and_so_is_one_whose_writer_was_killed";

/// This test starts itself as another process.
#[tokio::test]
async fn a_file_that_another_process_writes_to_is_sound_and_so_is_one_whose_writer_was_killed() {
    if let Some(file) = std::env::var_os(FILE) {
        let store = SqliteStore::open(Path::new(&file)).await.unwrap();
        loop {
            append(&store, "a", 2).await;
        }
    }
    let (_folder, path) = folder();
    SqliteStore::open(&path).await.unwrap().shutdown().await.unwrap();
    let mut writer = Command::new(std::env::current_exe().unwrap());
    let mut writer = writer.args([OTHER, "--exact"]).env(FILE, &path).spawn().unwrap();
    let mut heads = Vec::new();
    while heads.last().is_none_or(|head| *head < 50) {
        let report = verify(&path).await.unwrap();
        assert_eq!(report.findings, []);
        heads.push(report.head);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    let report = verify(&path).await.unwrap();
    assert!(report.is_sound() && report.head >= 50 && report.head % 2 == 0, "{report}");
}

/// Closing any handle of a file drops the locks of the whole process.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_check_leaves_the_locks_of_a_store_in_the_same_process() {
    use std::os::unix::fs::MetadataExt;
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let file = format!(":{} ", path.metadata().unwrap().ino());
    // One look may miss a lock while other processes lock and unlock; a lock that was dropped does not come back.
    let look = || std::fs::read_to_string("/proc/locks").unwrap().lines().any(|lock| lock.contains(&file));
    let is_locked = || (0..20).any(|_| look());
    // Before there is anything in the write-ahead log, and after.
    for _ in 0..2 {
        assert!(is_locked());
        assert!(verify(&path).await.unwrap().is_sound());
        assert!(is_locked());
        append(&store, "a", 1).await;
    }
}

/// Opened as root, any folder can be written: the test runs itself once more as someone else.
#[cfg(unix)]
#[tokio::test]
async fn a_file_that_nobody_can_write_is_checked_where_it_is() {
    use std::os::unix::{fs::PermissionsExt, process::CommandExt};
    const NAME: &str = "a_file_that_nobody_can_write_is_checked_where_it_is";
    const READ_ONLY: &str = "ES_SQLITE_VERIFY_READ_ONLY";
    if let Some(path) = std::env::var_os(READ_ONLY) {
        let report = verify(Path::new(&path)).await.unwrap();
        assert_eq!((report.events, report.findings), (13, Vec::new()));
        return;
    }
    let (folder, path) = folder();
    a_store(&path).await;
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    mode(&path, 0o444);
    mode(folder.path(), 0o555);
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args([NAME, "--exact", "--nocapture"]).env(READ_ONLY, &path);
    let probe = folder.path().join("probe");
    if std::fs::write(&probe, "").is_ok() {
        std::fs::remove_file(&probe).unwrap();
        again.uid(65_534).gid(65_534);
    }
    match again.output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => eprintln!("SKIPPED: the test can't be run as another user: {error}"),
    }
    mode(folder.path(), 0o777);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was put beside it");
}

/// A payload on pages of its own, one of which is damaged: its event is named, and those behind it are read.
#[tokio::test]
async fn an_event_whose_payload_can_not_be_read_is_named_and_those_after_it_are_checked() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    append(&store, "a", 1).await;
    let large = NewEvent::raw("bank.v1.Noted", vec![0xab; 30_000]);
    store.append(Commit::append(stream("a"), Expected::Any, vec![large])).await.unwrap();
    append(&store, "a", 2).await;
    store.shutdown().await.unwrap();
    let mut damaged = std::fs::read(&path).unwrap();
    let page = damaged.chunks(4_096).position(|page| page[4..].iter().all(|byte| *byte == 0xab)).unwrap();
    damaged[page * 4_096..][..4].fill(0xff); // which page comes next
    std::fs::write(&path, &damaged).unwrap();
    let report = verify(&path).await.unwrap();
    let events: Vec<_> = report.findings.iter().filter(|found| !matches!(found, Finding::File { .. })).collect();
    assert!(matches!(events[..], [Finding::Event { position: 2, .. }]), "{report}");
    assert_eq!((report.head, report.streams), (4, 1));
}

#[tokio::test]
async fn a_copy_made_by_sqlites_own_means_is_checked_too() {
    let (folder, path) = folder();
    a_store(&path).await;
    let copy = folder.path().join("copy.db");
    Connection::open(&path).unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let report = verify(&copy).await.unwrap();
    assert_eq!((report.events, report.findings), (13, Vec::new()));
}
