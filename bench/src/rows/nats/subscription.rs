//! From a stream of JetStream into a SQL table of another process.

use std::{path::PathBuf, time::Instant};

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, pull},
};
use es_core::{EventLog, Subscriber, wire};
use es_nats::{Nats, Relay, Subscription};
use es_sqlite::{SqliteProjection, SqliteStore};
use futures_util::StreamExt;
use prost::Message;
use rusqlite::Connection;
use test_servers::NatsServer;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    bench::v1::{AccountHooks, MoneyDeposited},
    by_hand::{connection, project},
    rounds::{Lab, Result, Row, Sample, Target, remove},
    rows::fill,
};

const STREAM: &str = "bench";
/// Accounts the events are spread over, by turns.
const ACCOUNTS: u64 = 1_000;
/// Events of a transaction, by hand: as many as a projection handles at once.
const PAGE: usize = 1_000;
/// Bytes of an envelope's checksum, with what stands in front of it.
const CHECKSUM: usize = 10;

/// A projection over a subscription, against a continuous pull without acknowledgements into the same SQL: both verify
/// each envelope's checksum and decode it. Each turn fills a read model of its own.
#[derive(Default)]
pub(crate) struct Subscriptions {
    store: PathBuf,
    read_model: PathBuf,
    server: Option<NatsServer>,
    events: u64,
}

impl Subscriptions {
    fn url(&self) -> Result<String> {
        Ok(self.server.as_ref().ok_or("not prepared")?.url())
    }
}

impl Row for Subscriptions {
    fn name(&self) -> String {
        "nats-subscription".into()
    }

    fn target(&self) -> Target {
        Target::Share(0.80)
    }

    fn has_latency(&self) -> bool {
        false
    }

    fn baseline(&self) -> &'static str {
        "a raw consumer into the same SQL"
    }

    fn prepare(&mut self, lab: &Lab) -> Result<()> {
        self.store = lab.fresh("subscription-store")?;
        self.read_model = lab.fresh("subscription")?;
        self.events = lab.events.div_ceil(10);
        fill(lab, &self.store, (0..self.events).map(|n| n % ACCOUNTS))?;
        self.server = Some(lab.runtime.block_on(NatsServer::start())?);
        let (url, path) = (self.url()?, self.store.clone());
        lab.run(async move {
            let store = SqliteStore::open(&path).await?;
            let relay = Relay::builder(&Nats::connect(url).await?).stream(STREAM).build(&store).await?;
            let head = EventLog::head(&store).await?;
            while relay.advance(&store, 0).await?.checkpoint < head {}
            relay.give_back().await;
            store.shutdown().await?;
            Ok(())
        })
    }

    fn ours(&mut self, lab: &Lab) -> Result<Sample> {
        remove(&self.read_model)?;
        let (url, path, events) = (self.url()?, self.read_model.clone(), self.events);
        lab.run(async move {
            let add = project::add(0);
            let log = Subscription::open(&Nats::connect(url).await?, STREAM).await?;
            let projection = SqliteProjection::builder("balances")
                .migration(project::table(0))
                .on_money_deposited(move |tx, event, _| tx.run(&add, (&event.account_id, event.cents)))
                .build_over(&path, log)?;
            let begun = Instant::now();
            let reached = projection.catch_up().await?;
            let elapsed = begun.elapsed();
            projection.close().await;
            check(&path, reached, events)?;
            Ok(Sample { operations: events, elapsed, ..Sample::default() })
        })
    }

    fn by_hand(&mut self, lab: &Lab) -> Result<Sample> {
        remove(&self.read_model)?;
        let (url, path, events) = (self.url()?, self.read_model.clone(), self.events);
        lab.run(async move {
            let writing = connection::read_model(&path)?;
            project::create(&writing, 1)?;
            let jetstream = jetstream::new(async_nats::connect(url).await?);
            let stream = jetstream.get_stream(STREAM).await?;
            let begun = Instant::now();
            let config = pull::Config { ack_policy: AckPolicy::None, ..Default::default() };
            let consumer = stream.create_consumer(config).await?;
            let mut messages = consumer.stream().max_messages_per_batch(500).messages().await?;
            let mut page = Vec::with_capacity(PAGE);
            let mut reached = 0;
            while reached < events {
                let message = messages.next().await.ok_or("the stream ended early")??;
                page.push(message.message.payload);
                if page.len() == PAGE || reached + page.len() as u64 == events {
                    reached = tokio::task::block_in_place(|| apply(&writing, &page, reached))?;
                    page.clear();
                }
            }
            let elapsed = begun.elapsed();
            drop(writing);
            check(&path, reached, events)?;
            Ok(Sample { operations: events, elapsed, ..Sample::default() })
        })
    }

    fn clean_up(&mut self, _: &Lab) -> Result<()> {
        self.server = None;
        remove(&self.read_model)?;
        remove(&self.store)
    }
}

/// One transaction: the events of some messages, and how far that is.
fn apply(writing: &Connection, page: &[bytes::Bytes], mut reached: u64) -> Result<u64> {
    writing.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
    let mut add = writing.prepare_cached(&project::add(0))?;
    for body in page {
        let envelope = wire::Envelope::decode(body.clone())?;
        if envelope.checksum != xxh3_64(&body[..body.len() - CHECKSUM]) || envelope.position != reached + 1 {
            return Err("another message than the next".into());
        }
        let event = MoneyDeposited::decode(&*envelope.payload)?;
        add.execute((&event.account_id, event.cents))?;
        reached = envelope.position;
    }
    writing.prepare_cached("UPDATE progress SET position = ?1")?.execute([reached])?;
    writing.prepare_cached("COMMIT")?.execute(())?;
    Ok(reached)
}

fn check(path: &std::path::Path, reached: u64, events: u64) -> Result<()> {
    let accounts: u64 = Connection::open(path)?.query_row("SELECT count(*) FROM balance0", (), |row| row.get(0))?;
    match (reached, accounts) == (events, events.min(ACCOUNTS)) {
        true => Ok(()),
        false => Err(format!("{reached} of {events} events, {accounts} accounts").into()),
    }
}
