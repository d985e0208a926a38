//! The memory store keeps every promise of an event store.

use es_core::{MemoryStore, event_store_conformance};

event_store_conformance!(async { (MemoryStore::new(), ()) });
