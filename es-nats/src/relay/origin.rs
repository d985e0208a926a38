//! Whose events a stream has: the stream says so itself, in its metadata.

use std::collections::HashMap;

use async_nats::jetstream::stream::Config;
use es_core::{Epoch, EventLog, Result, StoreIdentity};
use uuid::Uuid;

use crate::errors::diverged;

const STORE: &str = "es_store";
const EPOCH: &str = "es_epoch";
/// The epochs that restores of the store have begun, each with the position after which it began: `17:3,29:5`.
const EPOCHS: &str = "es_epochs";
const POSITIONS: &str = "es_positions";
/// The stream's sequence is the event's position.
const SEQUENCE_IS_POSITION: &str = "1";

/// The store whose events a stream has, and what is known of its restores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) store: StoreIdentity,
    pub(crate) epochs: Vec<Epoch>,
}

impl Origin {
    pub(super) fn of(store: &(impl EventLog + ?Sized)) -> Self {
        Self { store: store.identity(), epochs: store.epochs() }
    }

    /// The metadata of a stream that holds the events of this store.
    pub(super) fn metadata(&self) -> HashMap<String, String> {
        let epochs: Vec<_> =
            self.epochs.iter().map(|epoch| format!("{}:{}", epoch.number, epoch.began_after)).collect();
        let texts = [
            (STORE, self.store.id.to_string()),
            (EPOCH, self.store.epoch.to_string()),
            (EPOCHS, epochs.join(",")),
            (POSITIONS, SEQUENCE_IS_POSITION.to_owned()),
        ];
        texts.map(|(name, text)| (name.to_owned(), text)).into()
    }

    /// The store whose events a stream has.
    pub(crate) fn in_stream(found: &Config) -> Result<Self> {
        let text = |key| found.metadata.get(key).map(String::as_str);
        let id = text(STORE).and_then(|id| Uuid::try_parse(id).ok());
        let epoch = text(EPOCH).and_then(|epoch| epoch.parse().ok());
        match (id, text(POSITIONS), epoch, epochs(text(EPOCHS).unwrap_or_default())) {
            (Some(id), Some(SEQUENCE_IS_POSITION), Some(epoch), Some(epochs)) => {
                Ok(Self { store: StoreIdentity { id, epoch }, epochs })
            }
            (None, ..) => {
                Err(diverged(&found.name, "no relay has made it; name the stream that the relay of a store fills"))
            }
            _ => Err(diverged(&found.name, "it was made by a newer version of this library; update it")),
        }
    }
}

/// The epochs in a text; none where it is not one of ours.
fn epochs(text: &str) -> Option<Vec<Epoch>> {
    let epoch = |text: &str| {
        let (number, began_after) = text.split_once(':')?;
        Some(Epoch { number: number.parse().ok()?, began_after: began_after.parse().ok()? })
    };
    text.split(',').filter(|text| !text.is_empty()).map(epoch).collect()
}

/// The epoch of the store whose stream this is, if it is ours.
pub(super) fn epoch_of(found: &Config, store: &StoreIdentity) -> Result<u64> {
    let name = &found.name;
    let text = |key| found.metadata.get(key).map(String::as_str);
    let elsewhere = "give the relay a stream name of its own";
    match (text(STORE), text(POSITIONS), text(EPOCH).map(str::parse)) {
        (None, ..) => Err(diverged(name, format!("no relay has made it; {elsewhere}"))),
        (Some(other), ..) if Uuid::try_parse(other) != Ok(store.id) => {
            Err(diverged(name, format!("it has the events of store {other}, this is store {}; {elsewhere}", store.id)))
        }
        (Some(_), Some(SEQUENCE_IS_POSITION), Some(Ok(epoch))) => Ok(epoch),
        _ => Err(diverged(name, format!("it was made by a newer version of this library; update it, or {elsewhere}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        let epoch = |number, began_after| Epoch { number, began_after };
        let store = StoreIdentity { id: Uuid::from_u128(7), epoch: 29 };
        Origin { store, epochs: vec![epoch(17, 3), epoch(29, 5)] }
    }

    fn stream(metadata: HashMap<String, String>) -> Config {
        Config { name: "bank".into(), metadata, ..Config::default() }
    }

    #[test]
    fn what_a_relay_writes_down_a_reader_understands() {
        let never_restored = Origin { store: StoreIdentity { epoch: 0, ..origin().store }, epochs: Vec::new() };
        for origin in [origin(), never_restored] {
            assert_eq!(Origin::in_stream(&stream(origin.metadata())).unwrap(), origin);
        }
    }

    #[test]
    fn a_stream_without_epochs_is_that_of_a_store_that_was_never_restored() {
        let mut metadata = origin().metadata();
        metadata.remove(EPOCHS);
        assert_eq!(Origin::in_stream(&stream(metadata)).unwrap().epochs, []);
    }

    #[test]
    fn epochs_that_are_not_understood_are_refused() {
        for text in ["17", "17:", ":3", "17:3;29:5", "17:-3", "a:b"] {
            let mut metadata = origin().metadata();
            metadata.insert(EPOCHS.to_owned(), text.to_owned());
            let error = Origin::in_stream(&stream(metadata)).unwrap_err().to_string();
            assert!(error.contains("a newer version"), "{text}: {error}");
        }
    }
}
