//! Damage on disk: found where it is, never handed on, and no neighbour's problem.

mod support;

use std::{ops::ControlFlow, path::Path};

use es_core::{
    Answer, CommandId, CommandRecord, Commit, Error, EventLog, EventStore, Expected, Filter, Metadata, NewEvent,
    RecordedEvent, Snapshot,
};
use es_sqlite::SqliteStore;
use support::{damage::by_hand, folder, log, payloads, stream};

/// Nine commits of one event each, on three streams; closed.
async fn a_store(path: &Path) -> Vec<RecordedEvent> {
    let store = SqliteStore::open(path).await.unwrap();
    for n in 0..9 {
        let event = NewEvent::raw("bank.v1.Noted", format!("payload-{n}-").repeat(3)).claim("note", n.to_string());
        let metadata = Metadata::default().principal(format!("principal-{n}"));
        let commit = Commit::append(stream(&format!("s{}", n % 3)), Expected::Any, vec![event]).metadata(metadata);
        store.append(commit).await.unwrap();
    }
    let log = log(&store).await;
    store.shutdown().await.unwrap();
    log
}

#[tokio::test]
async fn a_change_in_any_column_of_an_event_is_found_and_its_neighbours_are_readable() {
    let (_folder, path) = folder();
    let original = a_store(&path).await;
    let pristine = std::fs::read(&path).unwrap();
    let numbers = ["version", "schema_version", "encoding", "commit_index", "recorded_at", "checksum"];
    let flips = numbers.map(|column| format!("{column} = {column} + 1000000")).into_iter().chain([
        "stream = 3, version = version + 1000000".into(),
        "stream = 77".into(),
        "type = 77".into(),
        "encoding = 1".into(),
        "commit_rest = 1".into(),
        "payload = CAST('Payload-4-payload-4-payload-4-' AS BLOB)".into(),
        "payload = x''".into(),
        "payload = substr(payload, 1, length(payload) - 1)".into(),
        "metadata = x''".into(),
        "metadata = CAST(replace(CAST(metadata AS TEXT), 'principal-4', 'principal-5') AS BLOB)".into(),
    ]);
    for flip in flips {
        std::fs::write(&path, &pristine).unwrap();
        by_hand(&path, &format!("UPDATE es_events SET {flip} WHERE position = 5"));
        let store = SqliteStore::open(&path).await.unwrap();
        let page = store.read_all(0, 100, &Filter::all()).await.unwrap();
        assert_eq!((page.events.as_slice(), page.scanned_to), (&original[..4], 4), "{flip}");
        let error = store.read_all(4, 100, &Filter::all()).await.unwrap_err();
        let Error::Corrupt { what, .. } = &error else { panic!("{flip}: {error}") };
        assert!(what == "event at position 5" || what.ends_with("number 77"), "{flip}: {error}");
        // Also where a filter would leave it out.
        let filter = Filter::all().event_types(["no.such.Event"]);
        assert!(matches!(store.read_all(4, 100, &filter).await, Err(Error::Corrupt { .. })), "{flip}");
        assert_eq!(store.read_all(5, 100, &Filter::all()).await.unwrap().events, original[5..], "{flip}");
        // The stream of the event does not fold over it; the others are whole.
        let folded = payloads(&store, "s1", 0).await;
        assert!(matches!(folded, Err(Error::Corrupt { .. })), "{flip}: {folded:?}");
        assert_eq!(payloads(&store, "s0", 0).await.unwrap().len(), 3, "{flip}");
        assert_eq!(payloads(&store, "s1", 2).await.map(|tail| tail.len()).unwrap_or(1), 1, "{flip}");
        store.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_missing_event_is_found_in_the_log_and_in_its_stream() {
    let (_folder, path) = folder();
    a_store(&path).await;
    by_hand(&path, "DELETE FROM es_events WHERE position = 5");
    let store = SqliteStore::open(&path).await.unwrap();
    let error = store.read_all(4, 100, &Filter::all()).await.unwrap_err();
    assert_eq!(error.to_string(), "corrupt data: event at position 6: position 5 is missing before it");
    let error = payloads(&store, "s1", 0).await.unwrap_err();
    assert!(error.to_string().contains("version 2 of bank.v1.Account/s1 is missing"), "{error}");
}

#[tokio::test]
async fn a_commit_that_lost_its_end_is_not_shown_as_a_whole_one() {
    let (_folder, path) = folder();
    a_store(&path).await;
    let store = SqliteStore::open(&path).await.unwrap();
    support::append(&store, "s0", 3).await;
    store.shutdown().await.unwrap();
    by_hand(&path, "DELETE FROM es_events WHERE position = 12");
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.read_all(0, 100, &Filter::all()).await.unwrap().scanned_to, 9);
    let error = store.read_all(9, 100, &Filter::all()).await.unwrap_err();
    assert!(error.to_string().starts_with("corrupt data: event at position 12: it is missing"), "{error}");
}

#[tokio::test]
async fn a_renamed_stream_or_type_is_found_by_its_events() {
    for sql in [
        "UPDATE es_streams SET aggregate_id = 's7' WHERE aggregate_id = 's1'",
        "UPDATE es_streams SET tenant = 'evil' WHERE aggregate_id = 's1'",
        "UPDATE es_streams SET type = 'bank.v1.Loan' WHERE aggregate_id = 's1'",
        "UPDATE es_types SET name = 'bank.v1.Denied'",
    ] {
        let (_folder, path) = folder();
        a_store(&path).await;
        by_hand(&path, sql);
        let store = SqliteStore::open(&path).await.unwrap();
        let error = match store.read_all(0, 100, &Filter::all()).await {
            Ok(page) => store.read_all(page.scanned_to, 100, &Filter::all()).await.unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(error, Error::Corrupt { .. }), "{sql}: {error}");
    }
}

/// Flips bits all over the file. Whatever they hit, what is handed out is what was written, or an error.
#[tokio::test]
async fn a_flipped_bit_anywhere_in_the_file_never_shows_as_another_event() {
    let (_folder, path) = folder();
    let original = a_store(&path).await;
    let pristine = std::fs::read(&path).unwrap();
    let table = table_page(&path, &pristine);
    // Every byte of the page with the events, and a sample of all others.
    let mut places: Vec<_> = (table..table + 4_096).filter(|at| pristine[*at] != 0).collect();
    places.extend((0..pristine.len()).step_by(199));
    let mut found = 0;
    for (n, at) in places.into_iter().enumerate() {
        let mut damaged = pristine.clone();
        damaged[at] ^= 1 << (n % 8);
        std::fs::write(&path, &damaged).unwrap();
        let _ = std::fs::remove_file(path.with_extension("db-wal"));
        let _ = std::fs::remove_file(path.with_extension("db-shm"));
        let Ok(store) = SqliteStore::builder(&path).create(false).readers(1).open().await else {
            found += 1;
            continue;
        };
        found += usize::from(!sound_or_refused(&store, &original).await);
        let _ = store.shutdown().await;
    }
    assert!(found > 300, "only {found} flips were found: is anything damaged at all?");
}

/// Whether the log reads as it was written; panics when it reads as anything else.
async fn sound_or_refused(store: &SqliteStore, original: &[RecordedEvent]) -> bool {
    let mut after = 0;
    let mut whole = true;
    while whole && after < 9 {
        match store.read_all(after, 2, &Filter::all()).await {
            Ok(page) if page.scanned_to > after => {
                assert_eq!(page.events, original[after as usize..page.scanned_to as usize]);
                after = page.scanned_to;
            }
            Ok(_) | Err(_) => whole = false,
        }
    }
    for (n, id) in ["s0", "s1", "s2"].into_iter().enumerate() {
        let of_stream: Vec<_> = original.iter().skip(n).step_by(3).map(|event| &event.payload).collect();
        let mut seen = Vec::new();
        let mut visit = |event: es_core::RecordedRef<'_>| {
            seen.push(event.event.payload.to_vec());
            Ok(ControlFlow::Continue(()))
        };
        whole &= store.fold(&stream(id), 0, &mut visit).await.is_ok_and(|version| version == 3);
        assert!(seen.iter().eq(of_stream.into_iter().take(seen.len())));
    }
    whole
}

/// Where the page with the events begins: it holds their payloads.
fn table_page(path: &Path, bytes: &[u8]) -> usize {
    let marker = b"payload-4-payload-4-payload-4-";
    let at = bytes.windows(marker.len()).position(|window| window == marker).unwrap();
    assert!(path.exists());
    at / 4_096 * 4_096
}

#[tokio::test]
async fn a_damaged_snapshot_is_as_good_as_none() {
    let (_folder, path) = folder();
    a_store(&path).await;
    for damage in ["state = x'00'", "version = 2", "version = -1", "version = 99", "checksum = 0", "fingerprint = 8"] {
        let store = SqliteStore::open(&path).await.unwrap();
        let snapshot = Snapshot { stream: stream("s1"), fingerprint: 7, version: 3, state: b"state".to_vec() };
        store.offer_snapshot(snapshot.clone());
        store.shutdown().await.unwrap();
        let store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(store.snapshot(&stream("s1"), 7).await.unwrap(), Some(snapshot), "{damage}");
        store.shutdown().await.unwrap();
        by_hand(&path, &format!("UPDATE es_snapshots SET {damage} WHERE fingerprint = 7"));
        let store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(store.snapshot(&stream("s1"), 7).await.unwrap(), None, "{damage}");
        assert_eq!(store.snapshot(&stream("s1"), 8).await.unwrap(), None, "{damage}");
        store.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_answer_is_reported_and_concerns_its_command_only() {
    let (_folder, path) = folder();
    let record = |id: &str| CommandRecord {
        id: CommandId::new(id).unwrap(),
        payload_hash: [3; 32],
        answer: Answer::Accepted(b"500".to_vec()),
        stream: stream("a"),
        version: 0,
    };
    let store = SqliteStore::open(&path).await.unwrap();
    for id in ["c-1", "c-2"] {
        store.append(Commit::default().command(record(id))).await.unwrap();
    }
    store.shutdown().await.unwrap();
    by_hand(&path, "UPDATE es_commands SET response = CAST('900' AS BLOB) WHERE id = 'c-1'");
    let store = SqliteStore::open(&path).await.unwrap();
    let (one, two) = tokio::join!(
        store.append(Commit::default().command(record("c-1"))),
        store.append(Commit::default().command(record("c-2"))),
    );
    let message = one.unwrap_err().to_string();
    assert_eq!(message, "corrupt data: the answer to command c-1: its checksum is wrong");
    assert!(matches!(two.unwrap(), es_core::Appended::Replayed(_)));
    assert!(matches!(store.outcome(None, &record("c-1").id).await, Err(Error::Corrupt { .. })));
}
