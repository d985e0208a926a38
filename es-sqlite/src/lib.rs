//! An event store, snapshots and projections in one SQLite file.
//!
//! [`SqliteStore`] is the [`EventStore`](es_core::EventStore) for one machine: commits of concurrent tasks share
//! transactions and are synced to disk before they are acknowledged; every event has a checksum that is verified on each
//! read; several processes may use one file. [`SqliteProjection`] turns events into SQL tables, in the same file or in
//! another one, and is tested with [`testing`]. [`SqliteStore::backup`] copies a store while it is used,
//! [`SqliteStore::restore`] makes one from a backup, and [`verify`] checks one.
//!
//! ```
//! use es_core::{Commit, EventStore, Expected, HookBuilder, NewEvent, StreamKey};
//! use es_sqlite::{SqliteProjection, SqliteStore};
//! # use es_core::error::{DecodeError, EncodeError};
//! # use prost::Message as _;
//! # #[derive(Clone, PartialEq, prost::Message)]
//! # struct AccountOpened {
//! #     #[prost(string, tag = "1")]
//! #     account_id: String,
//! # }
//! # impl es_core::Event for AccountOpened {
//! #     const TYPE: &'static str = "bank.v1.AccountOpened";
//! #     fn encode(&self, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
//! #         prost::Message::encode(self, buffer).map_err(|error| EncodeError::new(Self::TYPE, error))
//! #     }
//! #     fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
//! #         <Self as prost::Message>::decode(payload).map_err(DecodeError::malformed)
//! #     }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> es_core::Result<()> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("bank.db");
//!
//! let store = SqliteStore::open(path).await?;
//! let balances = SqliteProjection::builder("balances")
//!     .migration("CREATE TABLE balance (account_id TEXT PRIMARY KEY, cents INTEGER NOT NULL) STRICT")
//!     // Generated code has a method for each event: `.on_account_opened(|tx, event, meta| ..)`
//!     .on::<AccountOpened, _>(|tx, event, _meta| {
//!         tx.execute("INSERT INTO balance VALUES (?1, 0)", [&event.account_id])?;
//!         Ok(())
//!     })
//!     .build(&store)?;
//!
//! // Repositories do this for their aggregates.
//! let opened = AccountOpened { account_id: "acc-1".into() };
//! let event = NewEvent::raw("bank.v1.AccountOpened", opened.encode_to_vec());
//! let stream = StreamKey::new(None, "bank.v1.Account", "acc-1".try_into()?);
//! store.append(Commit::append(stream, Expected::NoStream, vec![event])).await?;
//!
//! balances.catch_up().await?; // a `Runner` does this each time something was appended
//! let accounts: i64 =
//!     balances.query(|tx| tx.query_row("SELECT count(*) FROM balance", (), |row| row.get(0))).await?;
//! assert_eq!(accounts, 1);
//! store.shutdown().await
//! # }
//! ```

#![doc(test(attr(deny(warnings))))]

mod backup;
mod blocking;
mod builder;
mod cache;
mod checkpoint_rows;
mod checkpoints;
mod checksum;
mod claims;
mod commands;
mod connection;
mod engine;
mod errors;
mod event_row;
#[cfg(feature = "failpoints")]
pub mod failpoint;
#[cfg(not(feature = "failpoints"))]
mod failpoint;
mod file;
mod fold;
mod identity;
mod log;
mod long;
mod migrate;
mod names;
mod partial;
mod projection;
mod reader;
mod restore;
mod savepoint;
mod scan;
mod schedule;
mod schema;
mod snapshots;
mod store;
pub mod testing;
mod verify;
mod writer;

pub use builder::{Durability, SqliteStoreBuilder};
pub use es_core::HookResult;
pub use projection::{
    Migration, OnFailure, ParkedEvent, ProjectionStatus, SqliteProjection, SqliteProjectionBuilder, Tx,
};
pub use store::SqliteStore;
pub use verify::{Finding, Report, verify};

/// Re-exported for hooks and queries: `params!`, `OptionalExtension`, `types`.
pub use rusqlite;
