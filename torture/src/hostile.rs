//! Bytes from anywhere, read as a store or as an envelope: an answer or an error, never a panic. Shared by the tests
//! and the fuzz targets.

use std::{ops::ControlFlow, path::Path};

use es_core::{Commit, EventLog, EventStore, Expected, Filter, NewEvent, RecordedEvent, RecordedRef, wire};
use es_sqlite::SqliteStore;
use prost::Message;

use crate::work::stream;

/// What was made of a file.
#[derive(Debug, Default)]
pub struct Findings {
    /// Why it was not opened.
    pub refused: Option<es_core::Error>,
    /// What could be read of it, in order.
    pub events: Vec<RecordedEvent>,
    /// Errors met on the way.
    pub errors: Vec<es_core::Error>,
}

/// How far past an unreadable event to look for the next readable one.
const GAP: u64 = 3;

/// Opens a file that may hold anything, reads all there is by every way of reading, and appends to it.
pub async fn open_and_use(path: &Path) -> Findings {
    let mut found = Findings::default();
    let store = SqliteStore::builder(path).create(false).readers(1).busy_timeout(std::time::Duration::from_millis(50));
    let store = match store.open().await {
        Ok(store) => store,
        Err(error) => return Findings { refused: Some(error), ..found },
    };
    read_log(&store, &mut found).await;
    for id in ["s0", "s1", "s2", "none"] {
        let mut visit = |_: RecordedRef<'_>| Ok(ControlFlow::Continue(()));
        found.errors.extend(store.fold(&stream(id), 0, &mut visit).await.err());
        found.errors.extend(store.version(&stream(id)).await.err());
        found.errors.extend(store.snapshot(&stream(id), 7).await.err());
        found.errors.extend(store.claimant(None, "note", id).await.err());
    }
    let command = "c-1".try_into().expect("a valid id");
    found.errors.extend(store.outcome(None, &command).await.err());
    let append = Commit::append(stream("s0"), Expected::Any, vec![NewEvent::raw("torture.v1.Late", b"late".to_vec())]);
    found.errors.extend(store.append(append).await.err());
    found.errors.extend(store.shutdown().await.err());
    found
}

/// Reads the whole log, and goes on behind what can't be read.
async fn read_log(store: &SqliteStore, found: &mut Findings) {
    let head = match store.head().await {
        Ok(head) => head,
        Err(error) => return found.errors.push(error),
    };
    let (mut after, mut gap) = (0, 0);
    // A damaged head may be any number.
    while after < head && gap <= GAP {
        match store.read_all(after, 2, &Filter::all()).await {
            Ok(page) if page.scanned_to > after => {
                found.errors.extend(page.events.iter().filter_map(|event| event.meta.origin().err()));
                found.events.extend(page.events);
                (after, gap) = (page.scanned_to, 0);
            }
            Ok(_) => return,
            Err(error) => {
                found.errors.push(error);
                (after, gap) = (after + 1, gap + 1);
            }
        }
    }
}

/// Decodes bytes as an envelope. What decodes is encoded and decoded once more to the same.
pub fn decode_envelope(bytes: &[u8]) {
    if let Ok(envelope) = wire::Envelope::decode(bytes) {
        let again = wire::Envelope::decode(&*envelope.encode_to_vec());
        assert_eq!(again.as_ref(), Ok(&envelope), "an envelope is what it was encoded from");
    }
    if let Ok(metadata) = wire::EventMetadata::decode(bytes) {
        assert_eq!(wire::EventMetadata::decode(&*metadata.encode_to_vec()), Ok(metadata));
    }
}
