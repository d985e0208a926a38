//! Orders and payments together, with a clock of the test's own.

use std::{path::Path, sync::Arc, time::Duration};

use es_core::{Error, Event, EventLog, Filter, ManualClock, RecordedEvent, Timestamp};
use es_sqlite::SqliteStore;
use futures_util::future::join_all;
use orders::{
    Shop,
    order::PATIENCE,
    orders::v1::{
        CancelOrderCommand, ListOrdersRequest, OrderCancelled, OrderLine, OrderPaid, OrderStatus, PlaceOrderCommand,
    },
    payments::v1::{CompletePaymentCommand, PaymentCalledOff, PaymentCompleted, PaymentInitialized, PaymentRefunded},
    reactors::payment_of,
};

const LONG: Duration = Duration::from_secs(30);

async fn open(folder: &Path) -> (Shop, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_767_268_800_000_000)));
    let store = SqliteStore::builder(folder.join("orders.db")).clock(clock.clone()).open().await.unwrap();
    (Shop::open(store, PATIENCE).await.unwrap(), clock)
}

/// Places an order whose payment is asked for when this returns.
async fn place(shop: &Shop, customer: String) -> String {
    let lines = vec![OrderLine { product: "tea".into(), quantity: 1, price_cents: 350 }];
    let reply = shop.orders.place_order(PlaceOrderCommand { customer, lines }).await.unwrap();
    shop.running.wait_for("payments", reply.receipt()).await.unwrap();
    reply.order_id.clone()
}

/// Everything that has happened, once every reaction to it has happened, too.
async fn settled(shop: &Shop) -> Vec<RecordedEvent> {
    loop {
        let head = shop.store.head().await.unwrap();
        shop.running.wait_for_position("payments", head, LONG).await.unwrap();
        if shop.store.head().await.unwrap() == head {
            return shop.store.read_all(0, usize::MAX, &Filter::all()).await.unwrap().events;
        }
    }
}

/// How often each stream has each of these events.
fn count<E: Event>(log: &[RecordedEvent], id: &str) -> usize {
    log.iter().filter(|event| event.meta.stream.id.as_str() == id && &*event.meta.event_type == E::TYPE).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_order_is_never_paid_afterwards_and_its_money_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (shop, _clock) = open(folder.path()).await;
    let ids = join_all((0..40).map(|n| place(&shop, format!("customer {n}")))).await;
    let pay = |id: &String| shop.payments.complete_payment(CompletePaymentCommand { payment_id: payment_of(id) });
    let cancel = |id: &String| {
        let reason = "changed my mind".into();
        shop.orders.cancel_order(CancelOrderCommand { order_id: id.clone(), reason })
    };
    // Ten are paid for, and can't be cancelled any more.
    for id in &ids[..10] {
        shop.running.wait_for("payments", pay(id).await.unwrap().receipt()).await.unwrap();
        let refused = cancel(id).await.unwrap_err();
        assert!(matches!(refused, Error::Rejected(_)), "{refused}");
    }
    // Ten are cancelled before the order hears of the money.
    shop.running.pause("payments").await.unwrap();
    for id in &ids[10..20] {
        pay(id).await.unwrap();
        cancel(id).await.unwrap();
    }
    shop.running.resume("payments").unwrap();
    // The rest are paid and cancelled at the same time, and either may win.
    join_all(ids[20..].iter().map(async |id| drop(tokio::join!(pay(id).into_future(), cancel(id).into_future()))))
        .await;
    let log = settled(&shop).await;
    let (mut all_paid, mut all_refunded) = (0, 0);
    for id in &ids {
        let payment = payment_of(id);
        let [cancelled, paid] = [count::<OrderCancelled>(&log, id), count::<OrderPaid>(&log, id)];
        assert_eq!(cancelled + paid, 1, "{id} is cancelled {cancelled} times and paid {paid} times");
        assert_eq!(count::<PaymentInitialized>(&log, &payment), 1, "{payment}");
        let [completed, called_off, refunded] = [
            count::<PaymentCompleted>(&log, &payment),
            count::<PaymentCalledOff>(&log, &payment),
            count::<PaymentRefunded>(&log, &payment),
        ];
        let expected = if paid == 1 { (1, 0, 0) } else { (completed, 1 - completed, completed) };
        assert_eq!((completed, called_off, refunded), expected, "{payment}");
        (all_paid, all_refunded) = (all_paid + paid, all_refunded + refunded);
    }
    assert!(all_paid >= 10 && all_refunded >= 10, "{all_paid} orders were paid, {all_refunded} payments refunded");
    shop.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_not_paid_in_time_is_cancelled_and_one_that_is_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (shop, clock) = open(folder.path()).await;
    let (forgotten, paid) = (place(&shop, "Eve".into()).await, place(&shop, "Ada".into()).await);
    let reply = shop.payments.complete_payment(CompletePaymentCommand { payment_id: payment_of(&paid) }).await.unwrap();
    shop.running.wait_for("payments", reply.receipt()).await.unwrap();
    clock.advance(PATIENCE);
    let mut head = shop.store.watch();
    let log = loop {
        head.borrow_and_update();
        let log = settled(&shop).await;
        if count::<PaymentCalledOff>(&log, &payment_of(&forgotten)) == 1 {
            break log;
        }
        tokio::time::timeout(LONG, head.changed()).await.expect("the deadline is kept").unwrap();
    };
    assert_eq!(count::<OrderCancelled>(&log, &forgotten), 1);
    assert_eq!(count::<OrderCancelled>(&log, &paid), 0);
    shop.running.wait_for_position("orders", log.len() as u64, LONG).await.unwrap();
    let list = shop.queries.list_orders(ListOrdersRequest { limit: 1 }).await.unwrap().orders;
    let [newest] = &list[..] else { panic!("{list:?}") };
    assert_eq!((newest.order_id.as_str(), newest.status()), (paid.as_str(), OrderStatus::Paid));
    shop.close().await.unwrap();
}
