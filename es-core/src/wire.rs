//! The messages of package `eventsourcing` as Rust types: what goes over a transport and into an export.
//!
//! Generated from `proto/eventsourcing`; a test of es-build fails when this file is not current.

#![allow(clippy::doc_markdown)]

include!("wire/eventsourcing.rs");
