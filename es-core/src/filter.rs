//! Which events of the log a reader wants.

use crate::{EventMeta, StreamKey, Tenant, partition_of};

/// Which events of the log are wanted. Empty lists want everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// Only events of this tenant.
    pub tenant: Option<Tenant>,
    /// Only events of streams of these types.
    pub stream_types: Vec<String>,
    /// Only events of the aggregates that belong to this partition.
    pub partition: Option<Partition>,
    /// Only events stored under these names, and those that are [unknown](Self::or_unknown).
    pub event_types: Vec<String>,
    /// What is known of some stream types: any other event of theirs is wanted, too.
    pub known: Vec<KnownTypes>,
}

/// One of so many partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 0.
    pub index: u32,
    /// How many there are.
    pub of: u32,
}

/// The names under which events of a stream type are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTypes {
    /// The stream type.
    pub stream_type: String,
    /// The events' stored names.
    pub event_types: Vec<String>,
}

impl Filter {
    /// Wants every event.
    pub fn all() -> Self {
        Self::default()
    }

    /// Wants events of this tenant only.
    #[must_use]
    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Wants events of streams of these types only.
    #[must_use]
    pub fn stream_types(mut self, types: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.stream_types.extend(types.into_iter().map(Into::into));
        self
    }

    /// Wants events of one [partition](crate::partition_of) of so many only.
    #[must_use]
    pub fn partition(mut self, index: u32, of: u32) -> Self {
        self.partition = Some(Partition { index, of });
        self
    }

    /// Wants events stored under these names only.
    #[must_use]
    pub fn event_types(mut self, types: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.event_types.extend(types.into_iter().map(Into::into));
        self
    }

    /// Also wants events of streams of this type that are stored under none of the known names: a reader that passed
    /// over them in silence would lose what a newer program has recorded.
    #[must_use]
    pub fn or_unknown(
        mut self,
        stream_type: impl Into<String>,
        known: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let (stream_type, event_types) = (stream_type.into(), known.into_iter().map(Into::into).collect());
        self.known.push(KnownTypes { stream_type, event_types });
        self
    }

    /// Whether an event is wanted.
    pub fn admits(&self, meta: &EventMeta) -> bool {
        self.admits_stream(&meta.stream)
            && (self.admits_type(&meta.event_type)
                || self.strangers_to(&meta.event_type).any(|stream_type| *stream_type == *meta.stream.stream_type))
    }

    /// Whether a stream may have wanted events.
    pub fn admits_stream(&self, stream: &StreamKey) -> bool {
        (self.tenant.is_none() || self.tenant == stream.tenant)
            && is_listed(&self.stream_types, &stream.stream_type)
            && self
                .partition
                .is_none_or(|Partition { index, of }| of <= 1 || partition_of(stream.id.as_str(), of) == index)
    }

    /// Whether events of this name are wanted, whatever their stream.
    pub fn admits_type(&self, event_type: &str) -> bool {
        is_listed(&self.event_types, event_type)
    }

    /// The stream types that don't know this name, among those of which anything is known.
    pub fn strangers_to<'f>(&'f self, event_type: &str) -> impl Iterator<Item = &'f str> {
        self.known
            .iter()
            .filter(move |known| !known.event_types.iter().any(|name| name == event_type))
            .map(|known| known.stream_type.as_str())
    }
}

fn is_listed(list: &[String], name: &str) -> bool {
    list.is_empty() || list.iter().any(|wanted| wanted == name)
}
