//! The memory store keeps every promise of a store of checkpoints.

use es_core::{Limits, MemoryStore, checkpoint_store_conformance};

checkpoint_store_conformance!(async |clock| (MemoryStore::with(Limits::default(), clock), ()));
