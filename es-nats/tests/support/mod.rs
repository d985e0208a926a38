//! What the tests share: a bank that can be told to misbehave, a store with a relay to a server, and how to wait.

#![allow(dead_code, missing_docs, unreachable_pub, unused_imports, reason = "each test uses a part of it")]

mod compare;
mod events;
pub mod malformed;
pub mod memory;
pub mod process;
mod rig;
pub mod tap;
mod teller;
mod wait;

pub use compare::*;
pub use events::*;
pub use rig::*;
pub use teller::*;
pub use wait::*;
