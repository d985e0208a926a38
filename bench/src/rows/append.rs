//! Many producers, each waiting for its own commits.

use std::sync::Arc;

use es_core::{AggregateId, Commit, EventStore, Expected, NewEvent, StreamKey};
use es_sqlite::SqliteStore;
use prost::Message;

use super::expect_stored;
use crate::{
    by_hand::{connection, group_commit::GroupCommit, write::Append},
    data,
    rounds::{Lab, Result, Row, Sample, Target, drive, remove, warm_up},
};

/// Appends of one event each.
pub(crate) struct Appends {
    pub(crate) producers: u64,
}

impl Row for Appends {
    fn name(&self) -> String {
        format!("append-{}", self.producers)
    }

    fn target(&self) -> Target {
        Target::Share(0.85)
    }

    fn ours(&mut self, lab: &Lab) -> Result<Sample> {
        let path = lab.fresh("append-ours")?;
        let (file, budget, producers) = (path.clone(), lab.budget, self.producers);
        let sample = lab.run(async move {
            let store = SqliteStore::open(file).await?;
            warm_up(producers, |caller| {
                let store = store.clone();
                async move {
                    let id = AggregateId::new(data::account_id(caller))?;
                    append(&store, &StreamKey::new(None, data::STREAM_TYPE, id), caller, 0).await
                }
            })
            .await?;
            let sample = drive(producers, budget, |caller, mut turns| {
                let store = store.clone();
                async move {
                    let id = AggregateId::new(data::account_id(caller))?;
                    let stream = StreamKey::new(None, data::STREAM_TYPE, id);
                    while let Some(call) = turns.next() {
                        append(&store, &stream, caller, call).await?;
                    }
                    Ok(turns)
                }
            })
            .await?;
            store.shutdown().await?;
            Ok(sample)
        })?;
        expect_stored(&path, self.producers, &sample)?;
        remove(&path)?;
        Ok(sample)
    }

    fn by_hand(&mut self, lab: &Lab) -> Result<Sample> {
        let path = lab.fresh("append-by-hand")?;
        lab.runtime.block_on(connection::create(&path))?;
        let (writer, thread) = GroupCommit::start(&path);
        let (budget, producers) = (lab.budget, self.producers);
        let sample = lab.run(async move {
            warm_up(producers, |caller| {
                let writer = writer.clone();
                async move { append_by_hand(&writer, &data::account_id(caller).into(), caller, 0).await }
            })
            .await?;
            drive(producers, budget, |caller, mut turns| {
                let writer = writer.clone();
                async move {
                    let account_id = data::account_id(caller).into();
                    while let Some(call) = turns.next() {
                        append_by_hand(&writer, &account_id, caller, call).await?;
                    }
                    Ok(turns)
                }
            })
            .await
        })?;
        thread.join().map_err(|_| "the writing thread panicked")??;
        expect_stored(&path, self.producers, &sample)?;
        remove(&path)?;
        Ok(sample)
    }
}

async fn append(store: &SqliteStore, stream: &StreamKey, caller: u64, call: u64) -> Result<()> {
    let payload = data::deposited(stream.id.as_str(), call).encode_to_vec();
    let event = NewEvent::raw(data::EVENT_TYPE, payload);
    let commit = Commit::append(stream.clone(), Expected::Exact(call), vec![event]);
    store.append(commit.metadata(data::metadata(caller, call))).await?;
    Ok(())
}

async fn append_by_hand(writer: &GroupCommit, account_id: &Arc<str>, caller: u64, call: u64) -> Result<()> {
    let append = Append {
        account_id: Arc::clone(account_id),
        expected: Some(call.cast_signed()),
        payload: data::deposited(account_id, call).encode_to_vec(),
        metadata: data::stored_metadata(caller, call, None),
        command: None,
    };
    writer.append(append).await?;
    Ok(())
}
