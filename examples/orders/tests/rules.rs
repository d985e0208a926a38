//! The rules of orders and payments, given events, when a command, then events or a refusal.

use es_core::{
    LocalBus, Timestamp,
    testing::{Decided, Given, given},
};
use orders::{
    order::{Orders, PATIENCE, deadline_of},
    orders::v1::{
        CancelOrderCommand, ConfirmPaymentCommand, Order, OrderCancelled, OrderCommandService,
        OrderCommandServiceClient, OrderDelivered, OrderLine, OrderPaid, OrderPlaced, OrderResponse, OrderShipped,
        ParcelSeen, PlaceOrderCommand, UpdateShippingCommand, update_shipping_command::News,
    },
    payment::Payments,
    payments::v1::{
        CallOffPaymentCommand, CompletePaymentCommand, InitializePaymentCommand, Payment, PaymentCalledOff,
        PaymentCommandService, PaymentCompleted, PaymentInitialized, PaymentRefunded, PaymentResponse,
    },
};

/// Nothing is sent while a command is decided, so the bus may be empty.
fn rules() -> Orders {
    Orders { later: OrderCommandServiceClient::new(LocalBus::new().transport()), patience: PATIENCE }
}

fn line(quantity: i32, price_cents: i64) -> OrderLine {
    OrderLine { product: "tea".into(), quantity, price_cents }
}

fn placed() -> OrderPlaced {
    OrderPlaced { order_id: "o".into(), customer: "Ada".into(), lines: vec![line(2, 350)], total_cents: 700 }
}

fn paid() -> OrderPaid {
    OrderPaid { order_id: "o".into(), payment_id: "p".into() }
}

fn shipped() -> OrderShipped {
    OrderShipped { order_id: "o".into(), carrier: "Owl".into() }
}

fn cancelled() -> OrderCancelled {
    OrderCancelled { order_id: "o".into(), reason: "too late".into() }
}

fn noon() -> Timestamp {
    Timestamp::from_micros(1_767_268_800_000_000)
}

async fn place(customer: &str, lines: Vec<OrderLine>) -> Decided<Order, OrderResponse> {
    let command = PlaceOrderCommand { customer: customer.into(), lines };
    let new = given::<Order>("o").at(noon());
    new.when(async |order, context| rules().place_order(order, command, context).await).await
}

async fn cancel(given: Given<Order>) -> Decided<Order, OrderResponse> {
    let command = CancelOrderCommand { order_id: "o".into(), reason: "too late".into() };
    given.when(async |order, context| rules().cancel_order(order, command, context).await).await
}

async fn confirm(given: Given<Order>) -> Decided<Order, OrderResponse> {
    let command = ConfirmPaymentCommand { order_id: "o".into(), payment_id: "p".into() };
    given.when(async |order, context| rules().confirm_payment(order, command, context).await).await
}

async fn news(given: Given<Order>, news: Option<News>) -> Decided<Order, OrderResponse> {
    let command = UpdateShippingCommand { order_id: "o".into(), news };
    given.when(async |order, context| rules().update_shipping(order, command, context).await).await
}

fn an_order() -> Given<Order> {
    given::<Order>("o").event(placed())
}

#[tokio::test]
async fn an_order_has_a_customer_and_sound_lines() {
    let unpaid = CancelOrderCommand { order_id: "o".into(), reason: "not paid in time".into() };
    place("Ada", vec![line(2, 350)]).await.then_events([placed()]).then_schedules(
        &deadline_of("o"),
        noon().saturating_add(PATIENCE),
        rules().later.cancel_order(unpaid),
    );
    place("", vec![line(1, 1)]).await.then_error("CUSTOMER_MISSING");
    place("Ada", vec![]).await.then_error("NOTHING_ORDERED");
    for (quantity, price) in [(0, 1), (-1, 1), (1, 0), (1, i64::MAX)] {
        place("Ada", vec![line(quantity, price)]).await.then_error("INVALID_LINE");
    }
}

#[tokio::test]
async fn an_order_is_cancelled_only_before_it_is_paid() {
    cancel(an_order()).await.then_events([cancelled()]).then_cancels(&deadline_of("o"));
    cancel(an_order().event(paid())).await.then_error("WRONG_STATUS");
    cancel(an_order().event(cancelled())).await.then_error("WRONG_STATUS");
    cancel(given::<Order>("o")).await.then_error("NO_SUCH_ORDER");
}

#[tokio::test]
async fn a_cancelled_order_is_never_paid() {
    confirm(an_order()).await.then_events([paid()]).then_cancels(&deadline_of("o"));
    confirm(an_order().event(cancelled())).await.then_error("WRONG_STATUS");
    confirm(an_order().event(paid())).await.then_error("WRONG_STATUS");
}

#[tokio::test]
async fn a_paid_order_is_shipped_seen_and_delivered_in_that_order() {
    let on_its_way = || an_order().event(paid()).event(shipped());
    let with_owl = || Some(News::ShippedWith("Owl".into()));
    let seen = || Some(News::SeenAt("Oslo".into()));
    news(an_order().event(paid()), with_owl()).await.then_events([shipped()]);
    news(on_its_way(), seen()).await.then_events([ParcelSeen { order_id: "o".into(), place: "Oslo".into() }]);
    news(on_its_way(), Some(News::Delivered(true))).await.then_events([OrderDelivered { order_id: "o".into() }]);
    news(an_order(), with_owl()).await.then_error("WRONG_STATUS");
    news(an_order().event(paid()), seen()).await.then_error("WRONG_STATUS");
    news(an_order().event(paid()), Some(News::Delivered(true))).await.then_error("WRONG_STATUS");
    for nothing in [None, Some(News::Delivered(false))] {
        news(on_its_way(), nothing).await.then_error("NO_NEWS");
    }
}

fn initialized() -> PaymentInitialized {
    PaymentInitialized { payment_id: "p".into(), order_id: "o".into(), cents: 700 }
}

fn completed() -> PaymentCompleted {
    PaymentCompleted { payment_id: "p".into(), order_id: "o".into() }
}

fn a_payment() -> Given<Payment> {
    given::<Payment>("p").event(initialized())
}

async fn complete(given: Given<Payment>) -> Decided<Payment, PaymentResponse> {
    let command = CompletePaymentCommand { payment_id: "p".into() };
    given.when(async |payment, context| Payments.complete_payment(payment, command, context).await).await
}

async fn call_off(given: Given<Payment>) -> Decided<Payment, PaymentResponse> {
    let command = CallOffPaymentCommand { payment_id: "p".into() };
    given.when(async |payment, context| Payments.call_off_payment(payment, command, context).await).await
}

#[tokio::test]
async fn a_payment_is_initialized_once_and_completed_once() {
    for (state, cents, refused) in [
        (given::<Payment>("p"), 700, None),
        (given::<Payment>("p"), 0, Some("INVALID_AMOUNT")),
        (a_payment(), 700, Some("PAYMENT_EXISTS")),
    ] {
        let command = InitializePaymentCommand { payment_id: "p".into(), order_id: "o".into(), cents };
        let decided =
            state.when(async |payment, context| Payments.initialize_payment(payment, command, context).await).await;
        match refused {
            None => drop(decided.then_events([initialized()])),
            Some(code) => drop(decided.then_error(code)),
        }
    }
    complete(a_payment()).await.then_events([completed()]);
    complete(a_payment().event(completed())).await.then_error("PAYMENT_NOT_OPEN");
    complete(given::<Payment>("p")).await.then_error("PAYMENT_NOT_OPEN");
}

#[tokio::test]
async fn a_payment_that_is_called_off_takes_no_money_or_gives_it_back() {
    let (payment_id, order_id) = ("p".to_owned(), "o".to_owned());
    let called_off = PaymentCalledOff { payment_id: payment_id.clone(), order_id: order_id.clone() };
    let refunded = PaymentRefunded { payment_id, order_id, cents: 700 };
    call_off(a_payment()).await.then_events([called_off.clone()]);
    call_off(a_payment().event(completed())).await.then_events([refunded]);
    call_off(a_payment().event(called_off.clone())).await.then_no_events();
    complete(a_payment().event(called_off)).await.then_error("PAYMENT_NOT_OPEN");
    call_off(given::<Payment>("p")).await.then_error("NO_SUCH_PAYMENT");
}
