//! Streams: the events of one aggregate, in order.

use std::{fmt, sync::Arc};

use crate::{Aggregate, AggregateId, Tenant};

/// Names a stream: whose it is, what kind of aggregate, which one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// The tenant, if the store serves several.
    pub tenant: Option<Tenant>,
    /// The stream type: `{package}.{aggregate}`.
    pub stream_type: Arc<str>,
    /// The aggregate's id.
    pub id: AggregateId,
}

impl StreamKey {
    /// The stream of an aggregate without a tenant.
    pub fn of<A: Aggregate>(id: AggregateId) -> Self {
        Self::new(None, A::TYPE, id)
    }

    /// The stream of this tenant, type and id.
    pub fn new(tenant: Option<Tenant>, stream_type: impl Into<Arc<str>>, id: AggregateId) -> Self {
        Self { tenant, stream_type: stream_type.into(), id }
    }
}

/// `bank.v1.Account/acc-1`, with the tenant in front where there is one.
impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tenant) = &self.tenant {
            write!(f, "{tenant}:")?;
        }
        write!(f, "{}/{}", self.stream_type, self.id)
    }
}

/// What a writer takes for granted about a stream; the append is refused when it is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It stands at this version; 0 means it does not exist.
    Exact(u64),
    /// It does not exist.
    NoStream,
    /// It exists.
    StreamExists,
    /// Nothing. Two writers that expect nothing both write.
    Any,
}

impl Expected {
    /// Whether a stream at `version` (0: it does not exist) is as expected.
    pub fn admits(self, version: u64) -> bool {
        match self {
            Self::Exact(expected) => version == expected,
            Self::NoStream => version == 0,
            Self::StreamExists => version > 0,
            Self::Any => true,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(version) => write!(f, "version {version}"),
            Self::NoStream => f.write_str("no stream"),
            Self::StreamExists => f.write_str("an existing stream"),
            Self::Any => f.write_str("anything"),
        }
    }
}
