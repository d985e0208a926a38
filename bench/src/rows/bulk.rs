//! Import: commits of 1,000 events to ten new streams, against transactions of 10,000 rows.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use es_core::{AggregateId, Commit, EventStore, Expected, NewEvent, StreamKey};
use es_sqlite::SqliteStore;
use prost::Message;
use tokio::task::JoinSet;

use super::expect_events;
use crate::{
    by_hand::{connection, write::Writer},
    data,
    rounds::{Lab, Result, Row, Sample, Target, remove},
};

/// Events of one stream.
const STREAM: u64 = 100;
/// Streams of one commit; with their events as many as a commit may have.
const STREAMS: u64 = 10;
/// Commits handed over at once.
const IN_FLIGHT: usize = 16;
/// Rows of a transaction by hand.
const TRANSACTION: u64 = 10_000;

/// A million events, a quarter of them in each round; then a new file.
#[derive(Debug, Default)]
pub(crate) struct Bulk {
    ours: Import,
    by_hand: Import,
}

/// A file and the streams it has so far.
#[derive(Debug, Default)]
struct Import {
    path: PathBuf,
    streams: u64,
}

impl Import {
    /// The next streams to write.
    fn next(&mut self, lab: &Lab, name: &str) -> Result<(PathBuf, std::ops::Range<u64>)> {
        let all = (lab.events / STREAM).max(4 * STREAMS);
        if self.streams == 0 || self.streams >= all {
            *self = Self { path: lab.fresh(name)?, streams: 0 };
            lab.runtime.block_on(connection::create(&self.path))?;
        }
        let first = self.streams;
        self.streams += all / 4 / STREAMS * STREAMS;
        Ok((self.path.clone(), first..self.streams))
    }

    fn check(&self) -> Result<()> {
        expect_events(&self.path, self.streams * STREAM)
    }
}

impl Row for Bulk {
    fn name(&self) -> String {
        "bulk".into()
    }

    fn target(&self) -> Target {
        Target::Share(0.75)
    }

    fn has_latency(&self) -> bool {
        false
    }

    fn ours(&mut self, lab: &Lab) -> Result<Sample> {
        let (path, streams) = self.ours.next(lab, "bulk-ours")?;
        let sample = lab.run(async move {
            let store = SqliteStore::open(path).await?;
            let begun = Instant::now();
            let operations = (streams.end - streams.start) * STREAM;
            let mut in_flight = JoinSet::new();
            for first in streams.step_by(usize::try_from(STREAMS)?) {
                if in_flight.len() >= IN_FLIGHT
                    && let Some(appended) = in_flight.join_next().await
                {
                    appended??;
                }
                let (store, commit) = (store.clone(), commit(first)?);
                in_flight.spawn(async move { store.append(commit).await });
            }
            while let Some(appended) = in_flight.join_next().await {
                appended??;
            }
            let elapsed = begun.elapsed();
            store.shutdown().await?;
            Ok(Sample { operations, elapsed, ..Sample::default() })
        })?;
        self.ours.check()?;
        Ok(sample)
    }

    fn by_hand(&mut self, lab: &Lab) -> Result<Sample> {
        let (path, streams) = self.by_hand.next(lab, "bulk-by-hand")?;
        let sample = by_hand(&path, streams)?;
        self.by_hand.check()?;
        Ok(sample)
    }

    fn clean_up(&mut self, _: &Lab) -> Result<()> {
        remove(&self.ours.path)?;
        remove(&self.by_hand.path)
    }
}

/// A commit of whole streams, from this one on.
fn commit(first: u64) -> Result<Commit> {
    let mut commit = Commit::new(data::metadata(0, first));
    for number in first..first + STREAMS {
        let id = data::account_id(number);
        let events =
            (0..STREAM).map(|n| NewEvent::raw(data::EVENT_TYPE, data::deposited(&id, n).encode_to_vec())).collect();
        let stream = StreamKey::new(None, data::STREAM_TYPE, AggregateId::new(id)?);
        commit = commit.and(stream, Expected::NoStream, events);
    }
    Ok(commit)
}

fn by_hand(path: &Path, streams: std::ops::Range<u64>) -> Result<Sample> {
    let connection = connection::writer(path)?;
    let sample = {
        let mut writer = Writer::new(&connection)?;
        let begun = Instant::now();
        let operations = (streams.end - streams.start) * STREAM;
        let (mut written, mut payload) = (0, Vec::new());
        writer.begin()?;
        for first in streams.step_by(usize::try_from(STREAMS)?) {
            let metadata = data::stored_metadata(0, first, None);
            let mut index = 0;
            for number in first..first + STREAMS {
                let id = data::account_id(number);
                let mut head = writer.create(&id)?;
                for n in 0..STREAM {
                    payload.clear();
                    data::deposited(&id, n).encode(&mut payload)?;
                    head.version += 1;
                    let rest = (STREAMS * STREAM).cast_signed() - 1 - index;
                    writer.insert(head, (index, rest), &metadata, &payload)?;
                    index += 1;
                }
            }
            written += STREAMS * STREAM;
            if written % TRANSACTION == 0 {
                writer.commit()?;
                writer.begin()?;
            }
        }
        writer.commit()?;
        Sample { operations, elapsed: begun.elapsed(), ..Sample::default() }
    };
    connection::checkpoint(&connection)?;
    Ok(sample)
}
