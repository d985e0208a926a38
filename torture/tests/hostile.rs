//! Files that anything may have happened to: what is read of them is what was written, or an error that says so.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use es_core::{
    Answer, CommandId, CommandRecord, Commit, Error, EventLog, EventStore, Expected, NewEvent, RecordedEvent, Snapshot,
    wire,
};
use es_sqlite::{SqliteStore, rusqlite::Connection};
use prost::Message;
use torture::{
    child, effort,
    hostile::{Findings, decode_envelope, open_and_use},
    table::Row,
    test_name,
    work::{payload, stream},
};

use crate::support::{folder, run};

/// The files of a store, and what they say.
struct Model {
    /// By suffix: the file itself and its log.
    files: Vec<(&'static str, Vec<u8>)>,
    events: Vec<RecordedEvent>,
}

/// A store of three streams with large events and small ones, a snapshot, unique keys and answers; closed, or left
/// with half of it in its log.
async fn model(closed: bool) -> Model {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    for n in 0..24 {
        let large = if n % 8 == 3 { payload("large", n).repeat(20) } else { payload("small", n) };
        let event = NewEvent::raw("torture.v1.Noted", large).claim("note", n.to_string());
        let id = CommandId::new(format!("c-{n}")).unwrap();
        let record = CommandRecord {
            id,
            payload_hash: [1; 32],
            answer: Answer::Accepted(vec![1]),
            stream: stream("s0"),
            version: 1,
        };
        let commit = Commit::append(stream(&format!("s{}", n % 3)), Expected::Any, vec![event]);
        store.append(commit.command(record)).await.unwrap();
        if n == 11 {
            let snapshot = Snapshot { stream: stream("s1"), fingerprint: 7, version: 3, state: b"state".to_vec() };
            store.offer_snapshot(snapshot);
            if !closed {
                Connection::open(&path).unwrap().query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(())).unwrap();
            }
        }
    }
    let events = store.read_all(0, 100, &es_core::Filter::all()).await.unwrap().events;
    assert_eq!(events.len(), 24);
    if closed {
        store.shutdown().await.unwrap();
    }
    let file = |suffix| (suffix, fs::read(format!("{}{suffix}", path.display())).unwrap_or_default());
    Model { files: ["", "-wal"].map(file).into(), events }
}

impl Model {
    fn write(&self, path: &Path) {
        for (suffix, bytes) in &self.files {
            if !bytes.is_empty() {
                fs::write(beside(path, suffix), bytes).unwrap();
            }
        }
    }

    /// Asserts that nothing was read but what was written. Returns how many events were read.
    fn judge(&self, found: &Findings, how: &str) -> usize {
        let by_position: BTreeMap<_, _> = self.events.iter().map(|event| (event.meta.position, event)).collect();
        for event in &found.events {
            let written = by_position.get(&event.meta.position);
            assert_eq!(written, Some(&event), "{how}: an event that was never written");
        }
        for error in found.errors.iter().chain(&found.refused) {
            let clean =
                !matches!(error, Error::HandlerPanicked { .. } | Error::ShuttingDown | Error::InvalidRequest { .. });
            assert!(clean, "{how}: {error:?}");
        }
        found.events.len()
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    format!("{}{suffix}", path.display()).into()
}

fn noise(rng: &mut fastrand::Rng, length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

/// Damages files by lot. Returns in words how.
fn damage(files: &mut [(&'static str, Vec<u8>)], rng: &mut fastrand::Rng) -> String {
    let which = rng.usize(..files.len());
    let (suffix, bytes) = &mut files[which];
    if bytes.is_empty() {
        // No log: let there be one, or a journal to roll back.
        let suffix = *rng.choice(&["-wal", "-journal"]).unwrap();
        let length = rng.usize(1..9_000);
        let mut junk = noise(rng, length);
        let magic: &[u8] = match (suffix, rng.u8(..3)) {
            ("-wal", 0) => &[0x37, 0x7f, 0x06, 0x82, 0, 0x2d, 0xe2, 0x18, 0, 0, 0x10, 0],
            ("-journal", 0 | 1) => &[0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7, 0, 0, 0, 1],
            _ => &[],
        };
        let magic = &magic[..magic.len().min(junk.len())];
        junk[..magic.len()].copy_from_slice(magic);
        files[which] = (suffix, junk);
        return format!("junk as {suffix}");
    }
    let pages = bytes.len() / 4_096;
    let page = rng.usize(..pages.max(1)) * 4_096;
    let end = (page + 4_096).min(bytes.len());
    let what = match rng.u8(..8) {
        0 => {
            for _ in 0..rng.usize(1..20) {
                let at = rng.usize(..bytes.len());
                bytes[at] ^= 1 << rng.u8(..8);
            }
            "bits flipped"
        }
        1 => {
            // What SQLite believes most: the header, and the first bytes of a page.
            let at =
                if rng.bool() { rng.usize(..100.min(bytes.len())) } else { page + rng.usize(..12.min(end - page)) };
            bytes[at] = rng.u8(..);
            "a header changed"
        }
        2 => {
            bytes[page..end].iter_mut().for_each(|byte| *byte = rng.u8(..));
            "a page of noise"
        }
        3 => {
            bytes[page..end].fill(0);
            "a page of zeros"
        }
        4 => {
            let from = rng.usize(..pages.max(1)) * 4_096;
            let length = (end - page).min(bytes.len() - from);
            bytes.copy_within(from..from + length, page);
            "a page in the place of another"
        }
        5 => {
            bytes.truncate(page);
            "cut off at a page"
        }
        6 => {
            let length = rng.usize(..bytes.len());
            bytes.truncate(length);
            "cut off anywhere"
        }
        _ => {
            let more = rng.usize(1..9_000);
            bytes.extend(noise(rng, more));
            "noise at the end"
        }
    };
    format!("{what} in the file{suffix}")
}

/// In a process of its own: a crash of the database would take the others down, and the last line tells its seed.
#[test]
fn a_damaged_file_is_refused_or_read_as_it_was_written() {
    child::alone(test_name!(a_damaged_file_is_refused_or_read_as_it_was_written), || {
        let test = "damaged files";
        let mut lots = effort::lots(test);
        let models = [run(model(true)), run(model(false))];
        assert!(models[0].files[1].1.is_empty() && !models[1].files[1].1.is_empty());
        let seeds = effort::times(300, 10_000);
        let (mut refused, mut read, mut whole) = (0, 0, 0);
        for _ in 0..seeds {
            let seed = lots.u64(..);
            let mut rng = fastrand::Rng::with_seed(seed);
            let model = &models[rng.usize(..2)];
            let mut damaged = Model { files: model.files.clone(), events: model.events.clone() };
            let how = format!("seed {seed}: {}", damage(&mut damaged.files, &mut rng));
            println!("{how}");
            let (_folder, path) = folder();
            damaged.write(&path);
            let found = run(open_and_use(&path));
            match damaged.judge(&found, &how) {
                _ if found.refused.is_some() => refused += 1,
                24 => whole += 1,
                _ => read += 1,
            }
        }
        println!("{test}: {refused} refused, {read} read in part, {whole} read as a whole");
        assert!(refused > 0 && read > 0 && whole > 0, "{refused} {read} {whole}");
        Row { rounds: seeds, seeds, ..Row::default() }.close(test, &[]);
    });
}

#[test]
fn a_file_cut_off_at_any_page_is_refused_or_read_as_it_was_written() {
    child::alone(test_name!(a_file_cut_off_at_any_page_is_refused_or_read_as_it_was_written), || {
        let (mut rounds, mut rng) = (0, effort::lots("files cut off"));
        for closed in [true, false] {
            let model = run(model(closed));
            for which in 0..2 {
                let length = model.files[which].1.len();
                let steps =
                    (0..length).step_by(4_096).flat_map(|at| [at, at + rng.usize(1..4_096)]).collect::<Vec<_>>();
                for cut in steps.into_iter().filter(|cut| *cut < length) {
                    let mut damaged = Model { files: model.files.clone(), events: model.events.clone() };
                    damaged.files[which].1.truncate(cut);
                    let (_folder, path) = folder();
                    // A file without a byte is a new one, and so not part of this.
                    if which == 1 || cut > 0 {
                        damaged.write(&path);
                        let how = format!("file {which} of {length} bytes, cut off at {cut}");
                        println!("{how}");
                        damaged.judge(&run(open_and_use(&path)), &how);
                        rounds += 1;
                    }
                }
            }
        }
        Row { rounds, ..Row::default() }.close("files cut off", &[]);
    });
}

/// The event whose bytes are flipped; those around it must stay readable.
const VICTIM: usize = 10;

#[test]
fn a_flipped_byte_of_an_event_is_found_and_every_other_event_is_readable() {
    let model = run(model(true));
    let bytes = &model.files[0].1;
    let victim = &model.events[VICTIM];
    let at = bytes.windows(victim.payload.len()).position(|window| window == victim.payload).expect("its payload");
    let step = if effort::is_long() { 1 } else { 7 };
    let mut rounds = 0;
    for at in (at..at + victim.payload.len()).step_by(step) {
        let mut damaged = Model { files: model.files.clone(), events: model.events.clone() };
        damaged.files[0].1[at] ^= 0x40;
        let (_folder, path) = folder();
        damaged.write(&path);
        let found = run(open_and_use(&path));
        let read = damaged.judge(&found, &format!("byte {at}"));
        assert_eq!(read, 23, "byte {at}: {found:?}");
        assert!(found.events.iter().all(|event| event.meta.position != victim.meta.position), "byte {at}");
        let position = format!("event at position {}", victim.meta.position);
        let told = found.errors.iter().any(|error| matches!(error, Error::Corrupt { what, .. } if *what == position));
        assert!(told, "byte {at}: {:?}", found.errors);
        rounds += 1;
    }
    Row { rounds, sites: rounds, ..Row::default() }.close("bytes of an event flipped", &[]);
}

#[test]
fn a_foreign_schema_is_refused_and_left_alone() {
    let foreign = [
        "CREATE TABLE cookies (id)",
        "PRAGMA application_id = 1",
        "PRAGMA user_version = 1",
        "PRAGMA user_version = -1",
        "CREATE TABLE es_events (position INTEGER PRIMARY KEY, payload BLOB)",
        "CREATE VIEW es_events AS SELECT 1 AS position",
        "CREATE VIRTUAL TABLE es_events USING fts5(payload)",
        "CREATE TABLE t (a); CREATE TRIGGER es_t AFTER INSERT ON t BEGIN SELECT 1; END",
        "PRAGMA encoding = 'UTF-16'; CREATE TABLE t (a)",
        "PRAGMA page_size = 512; CREATE TABLE t (a)",
        "PRAGMA application_id = 1165185908; PRAGMA user_version = 1",
        "PRAGMA application_id = 1165185908; PRAGMA user_version = 7",
    ];
    for sql in foreign {
        let (_folder, path) = folder();
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        connection.close().unwrap();
        let before = fs::read(&path).unwrap();
        let found = run(open_and_use(&path));
        let error = found.refused.unwrap_or_else(|| panic!("{sql}: it was opened"));
        assert!(matches!(error, Error::NotAStore { .. } | Error::SchemaTooNew { .. }), "{sql}: {error:?}");
        assert!(fs::read(&path).unwrap() == before, "{sql}: it was changed");
    }
}

/// The same two functions as the fuzz targets, from mutations that need no fuzzer.
#[test]
fn bytes_that_are_no_envelope_are_an_error_and_no_panic() {
    let test = "envelopes";
    let mut rng = effort::lots(test);
    let rounds = effort::times(20_000, 2_000_000);
    let whole = wire::Envelope {
        store_id: "0199-store".into(),
        tenant: "acme".into(),
        stream_type: "bank.v1.Account".into(),
        stream_id: "acc-1".into(),
        version: 7,
        position: 1 << 40,
        event_type: "bank.v1.MoneyDeposited".into(),
        payload: payload("envelope", 1),
        recorded_at: Some(Default::default()),
        metadata: Some(wire::EventMetadata {
            command_id: "c-1".into(),
            entries: [("k".into(), "v".into())].into(),
            claims: vec![wire::ClaimChange { constraint: "email".into(), key: "a@b".into(), release: false }],
            ..Default::default()
        }),
        ..Default::default()
    };
    let whole = whole.encode_to_vec();
    for length in 0..=whole.len() {
        decode_envelope(&whole[..length]);
    }
    for _ in 0..rounds {
        let mut bytes = whole.clone();
        for _ in 0..rng.usize(1..8) {
            let at = rng.usize(..bytes.len());
            match rng.u8(..4) {
                0 => bytes[at] = rng.u8(..),
                1 => bytes.insert(at, rng.u8(..)),
                2 => drop(bytes.remove(at)),
                _ => {
                    let from = rng.usize(..bytes.len());
                    let piece = bytes[from..bytes.len().min(from + 16)].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        decode_envelope(&bytes);
        let length = rng.usize(..64);
        decode_envelope(&noise(&mut rng, length));
    }
    Row { rounds, seeds: 1, ..Row::default() }.close(test, &[]);
}
