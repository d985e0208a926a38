//! The fixture compiles as it is, also where nothing of it is used.
#![deny(warnings)]

include!("../generated/odd/_protos.rs");

fn main() {}
