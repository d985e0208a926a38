//! What follows from what: orders ask for payments, payments tell orders.

use es_core::{Error, Reactor, Result, StartFrom, Transport};
use es_sqlite::SqliteStore;

use crate::{
    orders::v1::{ConfirmPaymentCommand, OrderCommandServiceClient, OrderHooks},
    payments::v1::{CallOffPaymentCommand, InitializePaymentCommand, PaymentCommandServiceClient, PaymentHooks},
};

/// The payment of an order.
pub fn payment_of(order_id: &str) -> String {
    format!("payment-{order_id}")
}

/// Carries news between orders and their payments.
///
/// # Errors
/// What the storage reports.
pub async fn payments(store: &SqliteStore, transport: impl Transport) -> Result<Reactor> {
    Reactor::builder("payments", transport, StartFrom::Beginning)
        .on_order_placed(async |commands, event, _| {
            let payment_id = payment_of(&event.order_id);
            let command = InitializePaymentCommand { payment_id, order_id: event.order_id, cents: event.total_cents };
            PaymentCommandServiceClient::new(commands).initialize_payment(command).await?;
            Ok(())
        })
        .on_order_cancelled(async |commands, event, _| {
            let command = CallOffPaymentCommand { payment_id: payment_of(&event.order_id) };
            PaymentCommandServiceClient::new(commands).call_off_payment(command).await?;
            Ok(())
        })
        .on_payment_completed(async |commands, event, _| {
            let payment_id = event.payment_id;
            let command = ConfirmPaymentCommand { order_id: event.order_id, payment_id: payment_id.clone() };
            let confirmed = OrderCommandServiceClient::new(commands.clone()).confirm_payment(command).await;
            if let Err(Error::Rejected(_)) = confirmed {
                // The order was cancelled meanwhile: the money goes back.
                let command = CallOffPaymentCommand { payment_id };
                PaymentCommandServiceClient::new(commands).call_off_payment(command).await?;
            } else {
                confirmed?;
            }
            Ok(())
        })
        .build(store)
        .await
}
