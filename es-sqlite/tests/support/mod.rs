//! What several tests need: streams, commits, a small bank.

#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod balances;
pub mod damage;
pub mod interrupted;
pub mod killed;
pub mod rebuild;

use std::{ops::ControlFlow, path::PathBuf};

use es_core::{
    AggregateId, Appended, Commit, Committed, EventLog, EventStore, Expected, Filter, NewEvent, RecordedEvent,
    StreamKey,
    error::{DecodeError, EncodeError},
};
use es_sqlite::SqliteStore;
use prost::Message;
use tempfile::TempDir;

/// A folder that goes when the test ends, and the path of a database in it.
pub fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bank.db");
    (folder, path)
}

pub fn stream(id: &str) -> StreamKey {
    StreamKey::new(None, "bank.v1.Account", AggregateId::new(id).unwrap())
}

pub fn events(count: usize) -> Vec<NewEvent> {
    (0..count).map(|n| NewEvent::raw("bank.v1.MoneyDeposited", vec![n as u8; 20])).collect()
}

pub async fn append(store: &SqliteStore, id: &str, count: usize) -> Committed {
    commit(store, Commit::append(stream(id), Expected::Any, events(count))).await.unwrap()
}

pub async fn commit(store: &SqliteStore, commit: Commit) -> es_core::Result<Committed> {
    store.append(commit).await.map(|appended| match appended {
        Appended::Committed(committed) => committed,
        Appended::Replayed(outcome) => panic!("replayed: {outcome:?}"),
    })
}

/// The payloads of a stream after a version.
pub async fn payloads(store: &SqliteStore, id: &str, after: u64) -> es_core::Result<Vec<Vec<u8>>> {
    let mut payloads = Vec::new();
    let mut visit = |event: es_core::RecordedRef<'_>| {
        payloads.push(event.event.payload.to_vec());
        Ok(ControlFlow::Continue(()))
    };
    store.fold(&stream(id), after, &mut visit).await?;
    Ok(payloads)
}

/// The whole log, page by page.
pub async fn log(store: &SqliteStore) -> Vec<RecordedEvent> {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        let page = store.read_all(after, 100, &Filter::all()).await.unwrap();
        events.extend(page.events);
        if page.scanned_to == after {
            return events;
        }
        after = page.scanned_to;
    }
}

/// Asserts what holds for every log: dense positions, dense versions, time that does not run back.
pub fn assert_sound(log: &[RecordedEvent]) {
    let mut versions = std::collections::HashMap::new();
    let mut time = es_core::Timestamp::from_micros(i64::MIN);
    for (position, event) in (1..).zip(log) {
        assert_eq!(event.meta.position, position);
        let version = versions.entry(event.meta.stream.clone()).or_insert(0);
        *version += 1;
        assert_eq!(event.meta.version, *version, "{}", event.meta.stream);
        assert!(event.meta.commit_first <= position && position <= event.meta.commit_last);
        assert!(event.meta.recorded_at >= time, "time runs back at position {position}");
        time = event.meta.recorded_at;
    }
}

/// 30 MB, which takes a moment to copy.
pub async fn large(store: &SqliteStore) {
    let events: Vec<_> = (0..300).map(|_| NewEvent::raw("bank.v1.Noted", vec![7; 100_000])).collect();
    for events in events.chunks(50) {
        commit(store, Commit::append(stream("large"), Expected::Any, events.to_vec())).await.unwrap();
    }
}

macro_rules! event {
    ($name:ident, $type:literal) => {
        impl es_core::Event for $name {
            const TYPE: &'static str = $type;

            fn encode(&self, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
                Message::encode(self, buffer).map_err(|error| EncodeError::new(Self::TYPE, error))
            }

            fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
                <Self as Message>::decode(payload).map_err(DecodeError::malformed)
            }
        }

        impl $name {
            pub fn new_event(&self) -> NewEvent {
                NewEvent::raw($type, self.encode_to_vec())
            }
        }
    };
}

#[derive(Clone, PartialEq, Message)]
pub struct AccountOpened {
    #[prost(string, tag = "1")]
    pub account_id: String,
}
event!(AccountOpened, "bank.v1.AccountOpened");

#[derive(Clone, PartialEq, Message)]
pub struct MoneyDeposited {
    #[prost(string, tag = "1")]
    pub account_id: String,
    #[prost(int64, tag = "2")]
    pub cents: i64,
}
event!(MoneyDeposited, "bank.v1.MoneyDeposited");

/// The events of an account that this program knows.
pub const KNOWN: &[&str] = &[
    "bank.v1.AccountOpened",
    "bank.v1.MoneyDeposited",
    "bank.v1.Other",
    "bank.v1.Noted",
    "bank.v1.Closed",
    "bank.v1.AccountClosed",
];

/// What es-build generates for the two events.
pub trait AccountHooks: es_core::HookBuilder {
    fn on_account_opened<F>(self, hook: F) -> Self
    where
        Self: es_core::Hook<AccountOpened, F>,
    {
        es_core::Hook::<AccountOpened, F>::hook(self, hook).knows("bank.v1.Account", KNOWN)
    }

    fn on_money_deposited<F>(self, hook: F) -> Self
    where
        Self: es_core::Hook<MoneyDeposited, F>,
    {
        es_core::Hook::<MoneyDeposited, F>::hook(self, hook).knows("bank.v1.Account", KNOWN)
    }
}

impl<B: es_core::HookBuilder> AccountHooks for B {}

/// Opens an account.
pub async fn open_account(store: &SqliteStore, id: &str) -> Committed {
    let opened = AccountOpened { account_id: id.into() };
    commit(store, Commit::append(stream(id), Expected::NoStream, vec![opened.new_event()])).await.unwrap()
}

/// Deposits into several accounts in one commit.
pub async fn deposit(store: &SqliteStore, deposits: &[(&str, i64)]) -> Committed {
    let all = deposits.iter().fold(Commit::default(), |commit, (id, cents)| {
        let event = MoneyDeposited { account_id: (*id).into(), cents: *cents }.new_event();
        commit.and(stream(id), Expected::StreamExists, vec![event])
    });
    commit(store, all).await.unwrap()
}
