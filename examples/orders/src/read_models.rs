//! The list of orders, and the query that reads it.

use es_core::{AppError, QueryContext, Result, Timestamp};
use es_sqlite::{HookResult, SqliteProjection, SqliteProjectionBuilder, Tx};

use crate::orders::v1::{ListOrdersRequest, ListOrdersResponse, OrderHooks, OrderQueryService, OrderStatus, OrderView};

/// Orders listed when the request does not say how many.
const LIMIT: u32 = 20;

/// One row for each order.
pub fn orders() -> SqliteProjectionBuilder {
    let news = |tx: &Tx<'_>, order_id: &str, status: OrderStatus, text: &str| -> HookResult {
        let sql = "UPDATE order_list SET status = ?2, last_news = ?3 WHERE order_id = ?1";
        tx.run(sql, (order_id, status as i32, text))
    };
    SqliteProjection::builder("orders")
        .migration(
            "CREATE TABLE order_list (
                 number      INTEGER PRIMARY KEY,
                 order_id    TEXT NOT NULL UNIQUE,
                 customer    TEXT NOT NULL,
                 status      INTEGER NOT NULL,
                 total_cents INTEGER NOT NULL,
                 placed_at   INTEGER NOT NULL,
                 last_news   TEXT NOT NULL
             ) STRICT",
        )
        .on_order_placed(|tx, event, meta| {
            tx.run(
                "INSERT INTO order_list VALUES (NULL, ?1, ?2, ?3, ?4, ?5, 'placed')",
                (
                    &event.order_id,
                    &event.customer,
                    OrderStatus::Placed as i32,
                    event.total_cents,
                    meta.recorded_at.as_micros(),
                ),
            )
        })
        .on_order_paid(move |tx, event, _| news(tx, &event.order_id, OrderStatus::Paid, "paid"))
        .on_order_shipped(move |tx, event, _| {
            news(tx, &event.order_id, OrderStatus::Shipped, &format!("with {}", event.carrier))
        })
        .on_parcel_seen(move |tx, event, _| {
            news(tx, &event.order_id, OrderStatus::Shipped, &format!("seen at {}", event.place))
        })
        .on_order_delivered(move |tx, event, _| news(tx, &event.order_id, OrderStatus::Delivered, "delivered"))
        .on_order_cancelled(move |tx, event, _| news(tx, &event.order_id, OrderStatus::Cancelled, &event.reason))
}

/// Answers queries from the list.
#[derive(Debug)]
pub struct Queries(pub SqliteProjection);

impl OrderQueryService for Queries {
    async fn list_orders(&self, request: ListOrdersRequest, _: &QueryContext) -> Result<ListOrdersResponse, AppError> {
        let limit = if request.limit == 0 { LIMIT } else { request.limit };
        let orders = self.0.query(move |tx| {
            tx.query(
                "SELECT order_id, customer, status, total_cents, placed_at, last_news
                 FROM order_list ORDER BY number DESC LIMIT ?1",
                [limit],
                |row| {
                    Ok(OrderView {
                        order_id: row.get(0)?,
                        customer: row.get(1)?,
                        status: row.get(2)?,
                        total_cents: row.get(3)?,
                        placed_at: Some(Timestamp::from_micros(row.get(4)?).into()),
                        last_news: row.get(5)?,
                    })
                },
            )
        });
        Ok(ListOrdersResponse { orders: orders.await? })
    }
}
