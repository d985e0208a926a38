//! Shows that an acknowledged event is never lost, and that nothing is stored that was refused.
//!
//! ```console
//! $ cargo test -p torture                                          # the short form
//! $ TORTURE=long cargo test --release -p torture -- --nocapture    # the long form, with a table
//! ```
//!
//! Every test writes a [history](journal) of what it asked for and what it was told; a [checker] that knows nothing of
//! the store's inside holds the log against it. A test that draws lots prints its seed; `TORTURE_SEED` repeats one.

pub mod checker;
pub mod child;
pub mod effort;
pub mod fault;
pub mod hostile;
pub mod journal;
pub mod power;
pub mod table;
pub mod vfs;
pub mod work;
