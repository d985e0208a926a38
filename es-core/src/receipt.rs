//! What a command leaves in the caller's hand.

use std::ops::Deref;

use crate::{Error, StreamKey, Tenant, wire};

/// Where a command's events stand in the log; what `wait_for` waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The stream of the command's aggregate.
    pub stream: StreamKey,
    /// The aggregate's version after the command.
    pub version: u64,
    /// Position of the commit's last event, or the head the decision was made at when it emitted none.
    pub position: u64,
    /// The answer was recorded earlier, under the same command id.
    pub replayed: bool,
}

impl From<&Receipt> for wire::Receipt {
    fn from(receipt: &Receipt) -> Self {
        Self {
            tenant: receipt.stream.tenant.as_ref().map(ToString::to_string).unwrap_or_default(),
            r#type: receipt.stream.stream_type.to_string(),
            id: receipt.stream.id.to_string(),
            version: receipt.version,
            position: receipt.position,
            replayed: receipt.replayed,
        }
    }
}

impl TryFrom<wire::Receipt> for Receipt {
    type Error = Error;

    fn try_from(receipt: wire::Receipt) -> Result<Self, Error> {
        let tenant = if receipt.tenant.is_empty() { None } else { Some(Tenant::new(receipt.tenant)?) };
        Ok(Self {
            stream: StreamKey::new(tenant, receipt.r#type, receipt.id.try_into()?),
            version: receipt.version,
            position: receipt.position,
            replayed: receipt.replayed,
        })
    }
}

/// A command's response, and the receipt beside it. Reads like the response itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply<R> {
    response: R,
    receipt: Receipt,
}

impl<R> Reply<R> {
    pub(crate) fn new(response: R, receipt: Receipt) -> Self {
        Self { response, receipt }
    }

    /// Where the command's events stand.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// The response alone.
    pub fn into_inner(self) -> R {
        self.response
    }
}

impl<R> Deref for Reply<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.response
    }
}
