//! Events that are whole by themselves and do not follow from each other: no damage does that, a mistake of ours might.

use super::*;
use crate::{
    checksum::Checksum,
    event_row::{self, EventRow},
};
use es_core::{AggregateId, StreamKey};

const GOOD: EventRow<'static> = EventRow {
    position: 1,
    stream: 1,
    version: 1,
    event_type: 1,
    schema_version: 1,
    encoding: 0,
    commit_index: 0,
    commit_rest: 0,
    recorded_at: 1_000,
    checksum: 0,
    metadata: b"",
    payload: b"payload",
};

/// What is found in a log of these events, whose checksums are right.
fn found<const N: usize>(events: [EventRow<'_>; N]) -> Vec<String> {
    let connection = Connection::open_in_memory().unwrap();
    schema::STORE.create(&connection).unwrap();
    connection
        .execute_batch(
            "INSERT INTO es_meta VALUES (1, randomblob(16), 0, 0);
             INSERT INTO es_types VALUES (1, 'bank.v1.Noted');
             INSERT INTO es_streams VALUES (1, '', 'bank.v1.Account', 's1'), (2, '', 'bank.v1.Account', 's2')",
        )
        .unwrap();
    for mut event in events {
        let id = AggregateId::new(format!("s{}", event.stream)).unwrap();
        event.checksum = event.sum(Checksum::stream(&StreamKey::new(None, "bank.v1.Account", id)), "bank.v1.Noted");
        event.insert(&mut connection.prepare(event_row::INSERT).unwrap()).unwrap();
    }
    connection.execute("DELETE FROM es_streams WHERE id NOT IN (SELECT stream FROM es_events)", ()).unwrap();
    let place = Place { path: "bank.db".into(), busy_timeout: PATIENCE };
    let report = check(&connection, &place, &|| Ok(())).unwrap();
    report.findings.iter().map(ToString::to_string).collect()
}

fn second() -> EventRow<'static> {
    EventRow { position: 2, version: 2, ..GOOD }
}

#[test]
fn events_that_follow_from_each_other_are_sound() {
    assert!(found([]).is_empty());
    assert!(found([GOOD, second()]).is_empty());
    assert!(found([EventRow { commit_rest: 1, ..GOOD }, EventRow { commit_index: 1, ..second() }]).is_empty());
    assert!(found([GOOD, EventRow { stream: 2, version: 1, ..second() }]).is_empty());
}

#[test]
fn versions_are_dense() {
    assert_eq!(
        found([GOOD, EventRow { version: 3, ..second() }]),
        ["event at position 2: version 2 of its stream is missing before version 3"]
    );
    assert_eq!(
        found([GOOD, EventRow { version: 3, ..second() }, EventRow { position: 3, version: 2, ..GOOD }]),
        [
            "event at position 2: version 2 of its stream is missing before version 3",
            "event at position 3: it is version 2 of its stream, after version 3"
        ]
    );
}

#[test]
fn commits_are_whole() {
    assert_eq!(
        found([EventRow { commit_rest: 1, ..GOOD }, second()]),
        ["event at position 2: it is event 1 of 1 of its commit, after event 1 of 2"]
    );
    assert_eq!(
        found([GOOD, EventRow { commit_index: 1, ..second() }]),
        ["event at position 2: it is event 2 of 2 of its commit, right after the end of another"]
    );
    assert_eq!(
        found([EventRow { commit_rest: 3, ..GOOD }, EventRow { commit_index: 1, commit_rest: 2, ..second() }]),
        ["events at positions 3 to 4: missing, and the commit before them is not whole"]
    );
}

#[test]
fn time_does_not_run_back() {
    assert_eq!(
        found([GOOD, EventRow { recorded_at: 999, ..second() }]),
        ["event at position 2: it was recorded at 1970-01-01T00:00:00.000999Z, before the event in front of it \
             (1970-01-01T00:00:00.001Z)"]
    );
}

#[test]
fn metadata_and_encoding_are_known() {
    let why = &found([GOOD, EventRow { metadata: b"\xff\xff", ..second() }])[..];
    assert!(matches!(why, [why] if why.starts_with("event at position 2: its metadata can't be decoded: ")), "{why:?}");
    assert_eq!(found([EventRow { encoding: 7, ..GOOD }]), ["event at position 1: its encoding is 7"]);
}

#[test]
fn positions_begin_with_1() {
    let before = "table es_events: it has an event at position 0, and positions begin with 1";
    assert_eq!(found([EventRow { position: 0, stream: 2, ..GOOD }, GOOD])[0], before);
}

#[test]
fn a_missing_event_explains_what_follows_from_it() {
    // Version 2 of the stream is at position 2, which is gone.
    assert_eq!(
        found([GOOD, EventRow { position: 3, version: 3, ..GOOD }, EventRow { position: 4, version: 4, ..GOOD }]),
        ["event at position 2: missing"]
    );
    // One missing event explains one missing version, not two.
    assert_eq!(
        found([GOOD, EventRow { position: 3, version: 4, ..GOOD }]),
        ["event at position 2: missing", "event at position 3: version 2 of its stream is missing before version 4"]
    );
}
