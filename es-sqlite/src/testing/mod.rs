//! Tests of read models: given these events, the tables hold these rows.
//!
//! Nothing is mocked: a real store and a real read model, in a folder of their own that goes when the test ends. Like
//! everything made for tests, this panics when something is not as expected.
//!
//! ```
//! # #![allow(dead_code)]
//! # use es_core::{Aggregate, EventOf};
//! # use es_sqlite::SqliteProjectionBuilder;
//! use es_sqlite::testing::read_model;
//!
//! # async fn test<Account: Aggregate, O: EventOf<Account::Event>, D: EventOf<Account::Event>>(
//! #     balances: impl Fn() -> SqliteProjectionBuilder, account_opened: O, deposited: fn(i64) -> D) {
//! let model = read_model(balances())
//!     .given::<Account>("acc-1", [account_opened])
//!     .given::<Account>("acc-1", [deposited(300), deposited(200)])
//!     .await;
//! let cents: i64 = model.query(|tx| tx.query_row("SELECT cents FROM balance", (), |row| row.get(0))).await;
//! assert_eq!(cents, 500);
//!
//! model.then_rebuild_equals_live().await.then_redelivery_changes_nothing().await;
//! # }
//! ```

mod given;
mod model;
mod rows;

pub use self::{
    given::{Given, read_model},
    model::ReadModel,
};
