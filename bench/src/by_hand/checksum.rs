//! The checksums of the schema, so that the baseline writes and verifies what the store does.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::data::{EVENT_TYPE, STREAM_TYPE};

/// A checksum in the making: each field is hashed with the sum so far as its seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checksum(u64);

impl Checksum {
    /// What the events of an account's stream start with.
    pub(crate) fn stream(account_id: &str) -> Self {
        Self(1).bytes(b"").bytes(STREAM_TYPE.as_bytes()).bytes(account_id.as_bytes())
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        Self(xxh3_64_with_seed(bytes, self.0 ^ (bytes.len() as u64).rotate_left(40)))
    }

    fn numbers<const N: usize>(self, numbers: [i64; N]) -> Self {
        self.bytes(numbers.map(i64::to_le_bytes).as_flattened())
    }

    /// Over an event of a commit of its own kind: protobuf, schema version 1.
    pub(crate) fn event(self, event: &Event<'_>) -> i64 {
        let Event { position, version, commit_index, commit_rest, recorded_at, metadata, payload } = *event;
        self.bytes(EVENT_TYPE.as_bytes())
            .numbers([position, version, 1, 0, commit_index, commit_rest, recorded_at])
            .bytes(metadata)
            .bytes(payload)
            .0
            .cast_signed()
    }

    /// Over the answer to an accepted command.
    pub(crate) fn command(command: &Answer<'_>) -> i64 {
        let Answer { id, payload_hash, account_id, version, position, recorded_at, response } = *command;
        Self(2)
            .bytes(b"")
            .bytes(id.as_bytes())
            .bytes(payload_hash)
            .bytes(STREAM_TYPE.as_bytes())
            .bytes(account_id.as_bytes())
            .numbers([0, version, position, recorded_at])
            .bytes(response)
            .0
            .cast_signed()
    }

    /// Over a snapshot.
    pub(crate) fn snapshot(stream: i64, fingerprint: i64, version: i64, state: &[u8]) -> i64 {
        Self(3).numbers([stream, fingerprint, version]).bytes(state).0.cast_signed()
    }
}

/// What an event's checksum covers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event<'a> {
    pub(crate) position: i64,
    pub(crate) version: i64,
    pub(crate) commit_index: i64,
    pub(crate) commit_rest: i64,
    pub(crate) recorded_at: i64,
    pub(crate) metadata: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// What the checksum of a command's answer covers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) id: &'a str,
    pub(crate) payload_hash: &'a [u8; 32],
    pub(crate) account_id: &'a str,
    pub(crate) version: i64,
    pub(crate) position: i64,
    pub(crate) recorded_at: i64,
    pub(crate) response: &'a [u8],
}
