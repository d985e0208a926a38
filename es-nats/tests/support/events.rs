//! What is appended: events of any bytes.

use es_core::{
    AggregateId, Commit, Event, EventLog, EventStore, Expected, Metadata, NewEvent, Result, StreamKey, Tenant,
    error::{DecodeError, EncodeError},
};
use es_sqlite::SqliteStore;

/// The event that is appended here: any bytes.
#[derive(Clone, Debug)]
pub struct Deposited(pub Vec<u8>);

impl Event for Deposited {
    const TYPE: &'static str = "bank.v1.MoneyDeposited";

    fn encode(&self, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
        buffer.extend_from_slice(&self.0);
        Ok(())
    }

    fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self(payload.to_vec()))
    }
}

/// Appends a commit of several events to one of a few streams.
pub async fn append(store: &SqliteStore, id: u64, events: usize) -> u64 {
    try_append(store, id, events).await.unwrap()
}

pub async fn try_append(store: &SqliteStore, id: u64, events: usize) -> Result<u64> {
    let tenant = id.is_multiple_of(3).then(|| Tenant::new("acme inc.".replace(' ', "-")).unwrap());
    let stream = StreamKey::new(tenant, "bank.v1.Account", AggregateId::new(format!("acc.{}>*", id % 7)).unwrap());
    let payload = |n: usize| vec![n as u8; (id as usize * 37 + n) % 700];
    let events = (0..events).map(|n| NewEvent::raw("bank.v1.MoneyDeposited", payload(n))).collect();
    let metadata = Metadata::default().principal("ada");
    Ok(store.append(Commit::append(stream, Expected::Any, events).metadata(metadata)).await?.position())
}

/// Appends until the store has so many events.
pub async fn fill(store: &SqliteStore, head: u64) {
    let mut at = store.head().await.unwrap();
    while at < head {
        let events = (head - at).min(1 + at % 90);
        at = append(store, at, events as usize).await;
    }
}
