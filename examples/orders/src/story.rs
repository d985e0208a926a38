//! What happens in the shop, in words.

use std::time::Duration;

use es_core::{Error, EventLog, Receipt, Result};
use orders::{
    Shop,
    orders::v1::{
        CancelOrderCommand, ListOrdersRequest, OrderLine, OrderResponse, OrderStatus, OrderView, PlaceOrderCommand,
        UpdateShippingCommand, update_shipping_command::News,
    },
    payments::v1::CompletePaymentCommand,
    reactors::payment_of,
};

/// Tells one chapter; a second run goes on in the same file.
pub(crate) async fn tell(shop: &Shop) -> Result<()> {
    match shop.store.head().await? {
        0 => println!("A new shop opens.\n"),
        events => println!("The shop opens again. Its file holds {events} events from before.\n"),
    }
    let last = [delivered(shop).await?, cancelled(shop).await?, forgotten(shop).await?].into_iter().max();
    shop.running.wait_for_position("orders", last.unwrap_or_default(), PATIENCE).await?;

    println!("\nThe orders, newest first:");
    for order in list(shop).await? {
        let at = order.placed_at.map(|at| at.to_string()).unwrap_or_default();
        // To the second: 2026-11-20T23:25:48
        let at = at.get(..19).unwrap_or(&at).replace('T', " ");
        println!("  {at}  {:<6}{:>8}  {}", order.customer, euros(order.total_cents), order.last_news);
    }
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(10);

/// An order goes all the way.
async fn delivered(shop: &Shop) -> Result<u64> {
    let order = place(shop, "Ada", 2, 350).await?;
    println!("Ada orders two packets of tea for {}. A reactor asks for the payment.", euros(order.total_cents));
    pay(shop, &order.order_id).await?;
    println!("She pays, and the reactor tells the order.");
    update(shop, &order.order_id, News::ShippedWith("Owl Post".into())).await?;
    update(shop, &order.order_id, News::SeenAt("Oslo".into())).await?;
    let reply = update(shop, &order.order_id, News::Delivered(true)).await?;
    println!("The parcel goes with Owl Post, is seen at Oslo, and arrives.");
    Ok(reply.position)
}

/// An order is cancelled before it is paid.
async fn cancelled(shop: &Shop) -> Result<u64> {
    let order = place(shop, "Bob", 1, 9_900).await?;
    let cancel = CancelOrderCommand { order_id: order.order_id.clone(), reason: "too expensive".into() };
    let reply = shop.orders.cancel_order(cancel).await?;
    println!("Bob orders a teapot for {}, and cancels.", euros(order.total_cents));
    shop.running.wait_for("payments", reply.receipt()).await?;
    match shop.payments.complete_payment(CompletePaymentCommand { payment_id: payment_of(&order.order_id) }).await {
        Err(Error::Rejected(refusal)) => println!("His payment was called off. He tries to pay. Refused: {refusal}."),
        Err(error) => return Err(error),
        Ok(_) => println!("He pays for nothing?!"),
    }
    Ok(reply.receipt().position)
}

/// An order is never paid.
async fn forgotten(shop: &Shop) -> Result<u64> {
    let order = place(shop, "Eve", 3, 120).await?;
    println!("Eve orders cups, and forgets to pay. The order was scheduled to be cancelled then, and so it is.");
    let mut log = shop.store.watch();
    loop {
        let seen = *log.borrow_and_update();
        shop.running.wait_for_position("orders", seen, PATIENCE).await?;
        let found = list(shop).await?.into_iter().find(|view| view.order_id == order.order_id);
        if found.is_some_and(|view| view.status() == OrderStatus::Cancelled) {
            return Ok(seen);
        }
        let moved = tokio::time::timeout(PATIENCE, log.changed()).await;
        if !matches!(moved, Ok(Ok(()))) {
            println!("The order waits for ever?!");
            return Ok(seen);
        }
    }
}

/// Places an order, and waits until its payment is asked for.
async fn place(shop: &Shop, customer: &str, quantity: i32, price_cents: i64) -> Result<OrderResponse> {
    let lines = vec![OrderLine { product: "tea".into(), quantity, price_cents }];
    let reply = shop.orders.place_order(PlaceOrderCommand { customer: customer.into(), lines }).await?;
    shop.running.wait_for("payments", reply.receipt()).await?;
    Ok(reply.into_inner())
}

/// Pays for an order, and waits until the order knows.
async fn pay(shop: &Shop, order_id: &str) -> Result<()> {
    let command = CompletePaymentCommand { payment_id: payment_of(order_id) };
    let reply = shop.payments.complete_payment(command).await?;
    shop.running.wait_for("payments", reply.receipt()).await
}

async fn update(shop: &Shop, order_id: &str, news: News) -> Result<Receipt> {
    let command = UpdateShippingCommand { order_id: order_id.into(), news: Some(news) };
    Ok(shop.orders.update_shipping(command).await?.receipt().clone())
}

async fn list(shop: &Shop) -> Result<Vec<OrderView>> {
    Ok(shop.queries.list_orders(ListOrdersRequest::default()).await?.orders)
}

fn euros(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
