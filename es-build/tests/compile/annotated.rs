//! The fixture compiles as it is, also where nothing of it is used.
#![deny(warnings)]

include!("../generated/annotated/_protos.rs");

fn main() {}
