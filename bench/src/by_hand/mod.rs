//! The baseline: the same work on the same schema, written with rusqlite and nothing between.

pub(crate) mod checksum;
pub(crate) mod connection;
pub(crate) mod group_commit;
pub(crate) mod project;
pub(crate) mod read;
pub(crate) mod write;
