//! Events of a store into a stream of JetStream.

use std::{collections::VecDeque, path::PathBuf, time::Instant};

use async_nats::{
    HeaderMap, HeaderValue,
    header::NATS_EXPECTED_LAST_SEQUENCE,
    jetstream::{self, consumer::pull, stream},
};
use bytes::Bytes;
use es_core::{EventLog, Subscriber};
use es_nats::{Nats, Relay};
use es_sqlite::SqliteStore;
use futures_util::StreamExt;
use test_servers::NatsServer;

use super::fill;
use crate::rounds::{Lab, Result, Row, Sample, Target, remove};

/// Messages under way at once, by hand: as many as the relay has.
const UNDER_WAY: usize = 1_024;
/// Accounts the events are spread over, by turns.
const ACCOUNTS: u64 = 1_000;

/// A relay of a store's events, against publishing the same bytes with the same headers from memory. Each turn fills a
/// stream of its own.
#[derive(Default)]
pub(crate) struct Relaying {
    path: PathBuf,
    server: Option<NatsServer>,
    store: Option<SqliteStore>,
    /// What the relay publishes: subjects after the prefix, and bodies.
    messages: Vec<(String, Bytes)>,
    turns: u32,
}

impl Relaying {
    /// The server, the store, and a new name of a stream.
    fn turn(&mut self) -> Result<(String, SqliteStore, String)> {
        self.turns += 1;
        let (Some(server), Some(store)) = (&self.server, &self.store) else { return Err("not prepared".into()) };
        Ok((server.url(), store.clone(), format!("turn-{}", self.turns)))
    }
}

impl Row for Relaying {
    fn name(&self) -> String {
        "nats-relay".into()
    }

    fn target(&self) -> Target {
        Target::Share(0.80)
    }

    fn has_latency(&self) -> bool {
        false
    }

    fn baseline(&self) -> &'static str {
        "raw publishing from memory"
    }

    fn prepare(&mut self, lab: &Lab) -> Result<()> {
        self.path = lab.fresh("relay")?;
        let events = lab.events.div_ceil(10);
        fill(lab, &self.path, (0..events).map(|n| n % ACCOUNTS))?;
        self.store = Some(lab.runtime.block_on(SqliteStore::open(&self.path))?);
        self.server = Some(lab.runtime.block_on(NatsServer::start())?);
        let (url, store, stream) = self.turn()?;
        self.messages = lab.run(async move {
            relayed(&url, &store, &stream).await?;
            let messages = messages(&url, &stream).await?;
            delete(&url, &stream).await?;
            Ok(messages)
        })?;
        Ok(())
    }

    fn ours(&mut self, lab: &Lab) -> Result<Sample> {
        let (url, store, stream) = self.turn()?;
        lab.run(async move {
            let sample = relayed(&url, &store, &stream).await?;
            delete(&url, &stream).await?;
            Ok(sample)
        })
    }

    fn by_hand(&mut self, lab: &Lab) -> Result<Sample> {
        let (url, _, stream) = self.turn()?;
        let prefixed = |(rest, body): &(String, Bytes)| (format!("{stream}.{rest}"), body.clone());
        let messages: Vec<_> = self.messages.iter().map(prefixed).collect();
        lab.run(async move {
            let sample = published(&url, &stream, messages).await?;
            delete(&url, &stream).await?;
            Ok(sample)
        })
    }

    fn clean_up(&mut self, lab: &Lab) -> Result<()> {
        if let Some(store) = self.store.take() {
            lab.runtime.block_on(store.shutdown())?;
        }
        self.server = None;
        remove(&self.path)
    }
}

/// Has a relay publish everything to a stream that it makes.
async fn relayed(url: &str, store: &SqliteStore, stream: &str) -> Result<Sample> {
    let nats = Nats::connect(url).await?;
    let relay = Relay::builder(&nats).stream(stream).prefix(stream).build(store).await?;
    let head = EventLog::head(store).await?;
    let begun = Instant::now();
    while relay.advance(store, 0).await?.checkpoint < head {}
    let elapsed = begun.elapsed();
    relay.give_back().await;
    Ok(Sample { operations: head, elapsed, ..Sample::default() })
}

/// Makes a stream and publishes messages to it, many under way at once.
async fn published(url: &str, stream: &str, messages: Vec<(String, Bytes)>) -> Result<Sample> {
    let jetstream = jetstream::new(async_nats::connect(url).await?);
    let operations = messages.len() as u64;
    let begun = Instant::now();
    let subjects = vec![format!("{stream}.>")];
    jetstream.create_stream(stream::Config { name: stream.to_owned(), subjects, ..Default::default() }).await?;
    let mut under_way = VecDeque::with_capacity(UNDER_WAY);
    for (last, (subject, body)) in (0_u64..).zip(messages) {
        if under_way.len() == UNDER_WAY
            && let Some(oldest) = under_way.pop_front()
        {
            acknowledged(oldest).await?;
        }
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SEQUENCE, HeaderValue::from(last));
        under_way.push_back((last + 1, jetstream.publish_with_headers(subject, headers, body).await?));
    }
    for one in under_way {
        acknowledged(one).await?;
    }
    Ok(Sample { operations, elapsed: begun.elapsed(), ..Sample::default() })
}

async fn acknowledged((sequence, ack): (u64, jetstream::context::PublishAckFuture)) -> Result<()> {
    let ack = ack.await?;
    if ack.sequence == sequence { Ok(()) } else { Err(format!("message {sequence} is at {}", ack.sequence).into()) }
}

/// What a stream has: subjects without its name, and bodies.
async fn messages(url: &str, name: &str) -> Result<Vec<(String, Bytes)>> {
    let stream = jetstream::new(async_nats::connect(url).await?).get_stream(name).await?;
    let consumer = stream.create_consumer(pull::OrderedConfig::default()).await?;
    let mut messages = consumer.messages().await?;
    let mut all = Vec::new();
    while (all.len() as u64) < stream.cached_info().state.messages {
        let message = messages.next().await.ok_or("the stream ended early")??;
        all.push((message.subject[name.len() + 1..].to_owned(), message.payload.clone()));
    }
    Ok(all)
}

async fn delete(url: &str, stream: &str) -> Result<()> {
    jetstream::new(async_nats::connect(url).await?).delete_stream(stream).await?;
    Ok(())
}
