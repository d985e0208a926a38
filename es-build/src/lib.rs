//! Generates the Rust of an event-sourced system from annotated `.proto` files.
//!
//! One line in `build.rs` turns the messages and services of a `.proto` file into Rust: the messages themselves (by
//! [prost](https://docs.rs/prost)), for each aggregate the enum of its events, its repository and the trait of its
//! hooks, and for each service a trait to implement, a server and a client.
//!
//! ```no_run
//! // build.rs
//! fn main() -> es_build::Result<()> {
//!     es_build::compile_protos(&["proto/bank/v1/account.proto"], &["proto"])
//! }
//! ```
//!
//! ```text
//! // src/lib.rs
//! pub mod bank { pub mod v1 { es_core::include_proto!("bank.v1"); } }
//! // or all packages at once, each in the module of its name:
//! es_core::include_protos!();
//! ```
//!
//! What the files can say, with upcasts and renames, is described in [`annotations`]; what can be generated differently,
//! in [`Builder`].
//!
//! `eventsourcing/options.proto` and the other files that annotated files import (`cqrs/`, `google/api/`,
//! `buf/validate/`, `google/protobuf/`) are part of this crate. Nothing has to be installed or copied, not even `protoc`.
//!
//! All mistakes in the files are reported in one run, each with its place:
//!
//! ```text
//! proto/bank/v1/account.proto:9:14: error: no aggregate is called `Acount`; did you mean `Account`?
//!   |
//! 9 |   option (eventsourcing.event) = { aggregate_name: "Acount" };
//!   |                                                     ^^^^^^
//! ```

mod builder;
mod check;
mod comments;
mod diagnostic;
mod error;
mod generate;
mod load;
mod model;
mod names;
mod read;
mod write;

#[doc = include_str!("docs/annotations.md")]
pub mod annotations {}

use std::path::Path;

pub use builder::{Builder, configure};
pub use diagnostic::Diagnostic;
pub use error::{Error, Result};

/// Compiles `.proto` files into `OUT_DIR`, with the default settings. Imports are looked up in the folders `includes`.
///
/// For other settings, see [`configure`].
///
/// # Errors
/// If a file is missing or has mistakes. The error's `Debug`, which cargo prints for `build.rs`, lists every mistake with
/// its place.
pub fn compile_protos(files: &[impl AsRef<Path>], includes: &[impl AsRef<Path>]) -> Result<()> {
    configure().compile_protos(files, includes)
}
