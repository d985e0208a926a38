//! The rules of an order: placed, paid, shipped, delivered; or cancelled before it is paid.

use std::time::Duration;

use es_core::{AppError, CommandContext, Root, ensure, event_applier};

use crate::orders::v1::{
    CancelOrderCommand, ConfirmPaymentCommand, Order, OrderCancelled, OrderCommandService, OrderCommandServiceClient,
    OrderDelivered, OrderPaid, OrderPlaced, OrderResponse, OrderShipped, OrderStatus, ParcelSeen, PlaceOrderCommand,
    UpdateShippingCommand, update_shipping_command::News,
};

/// How long an order usually waits for its payment before it is cancelled.
pub const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// A price above this is a mistake.
const MOST_CENTS: i64 = 100_000_000;

#[event_applier]
impl Order {
    fn placed(&mut self, event: &OrderPlaced) {
        self.order_id.clone_from(&event.order_id);
        self.total_cents = event.total_cents;
        self.set_status(OrderStatus::Placed);
    }

    fn paid(&mut self, _: &OrderPaid) {
        self.set_status(OrderStatus::Paid);
    }

    fn shipped(&mut self, _: &OrderShipped) {
        self.set_status(OrderStatus::Shipped);
    }

    fn seen(&mut self, _: &ParcelSeen) {}

    fn delivered(&mut self, _: &OrderDelivered) {
        self.set_status(OrderStatus::Delivered);
    }

    fn cancelled(&mut self, _: &OrderCancelled) {
        self.set_status(OrderStatus::Cancelled);
    }
}

impl Order {
    fn ensure_is(&self, status: OrderStatus, to: &str) -> Result<(), AppError> {
        let now = self.status();
        ensure!(now != OrderStatus::Unspecified, AppError::not_found("NO_SUCH_ORDER", "there is no such order"));
        let refusal = || {
            AppError::failed_precondition("WRONG_STATUS", format!("an order has to be {status:?} {to}"))
                .detail("status", now.as_str_name())
        };
        ensure!(now == status, refusal());
        Ok(())
    }
}

/// The key under which an order's cancellation is scheduled.
pub fn deadline_of(order_id: &str) -> String {
    format!("unpaid-{order_id}")
}

/// Decides what happens when a command comes in.
#[derive(Debug)]
pub struct Orders {
    /// Sends what an order asks of itself later.
    pub later: OrderCommandServiceClient,
    /// How long an order waits for its payment.
    pub patience: Duration,
}

impl OrderCommandService for Orders {
    async fn place_order(
        &self,
        order: &mut Root<Order>,
        command: PlaceOrderCommand,
        context: &CommandContext,
    ) -> Result<OrderResponse, AppError> {
        let PlaceOrderCommand { customer, lines } = command;
        ensure!(!customer.is_empty(), AppError::invalid_argument("CUSTOMER_MISSING", "say who orders"));
        ensure!(!lines.is_empty(), AppError::invalid_argument("NOTHING_ORDERED", "an order has at least one line"));
        let sound = lines.iter().all(|line| line.quantity > 0 && (1..=MOST_CENTS).contains(&line.price_cents));
        ensure!(sound, AppError::invalid_argument("INVALID_LINE", "quantities and prices are more than nothing"));
        let total_cents = lines.iter().map(|line| i64::from(line.quantity) * line.price_cents).sum();
        let order_id = order.id().to_string();
        let cancel = CancelOrderCommand { order_id: order_id.clone(), reason: "not paid in time".into() };
        let due = context.now().saturating_add(self.patience);
        context.schedule(deadline_of(&order_id), due, self.later.cancel_order(cancel))?;
        order.emit(OrderPlaced { order_id, customer, lines, total_cents });
        Ok(answer(order))
    }

    async fn cancel_order(
        &self,
        order: &mut Root<Order>,
        command: CancelOrderCommand,
        context: &CommandContext,
    ) -> Result<OrderResponse, AppError> {
        order.ensure_is(OrderStatus::Placed, "to be cancelled")?;
        context.cancel(deadline_of(&command.order_id))?;
        order.emit(OrderCancelled { order_id: command.order_id, reason: command.reason });
        Ok(answer(order))
    }

    async fn confirm_payment(
        &self,
        order: &mut Root<Order>,
        command: ConfirmPaymentCommand,
        context: &CommandContext,
    ) -> Result<OrderResponse, AppError> {
        order.ensure_is(OrderStatus::Placed, "to be paid")?;
        context.cancel(deadline_of(&command.order_id))?;
        order.emit(OrderPaid { order_id: command.order_id, payment_id: command.payment_id });
        Ok(answer(order))
    }

    async fn update_shipping(
        &self,
        order: &mut Root<Order>,
        command: UpdateShippingCommand,
        _: &CommandContext,
    ) -> Result<OrderResponse, AppError> {
        let UpdateShippingCommand { order_id, news } = command;
        match news {
            Some(News::ShippedWith(carrier)) => {
                order.ensure_is(OrderStatus::Paid, "to be shipped")?;
                order.emit(OrderShipped { order_id, carrier });
            }
            Some(News::SeenAt(place)) => {
                order.ensure_is(OrderStatus::Shipped, "to be seen on its way")?;
                order.emit(ParcelSeen { order_id, place });
            }
            Some(News::Delivered(true)) => {
                order.ensure_is(OrderStatus::Shipped, "to be delivered")?;
                order.emit(OrderDelivered { order_id });
            }
            Some(News::Delivered(false)) | None => {
                return Err(AppError::invalid_argument("NO_NEWS", "say what happened to the parcel"));
            }
        }
        Ok(answer(order))
    }
}

fn answer(order: &Root<Order>) -> OrderResponse {
    OrderResponse { order_id: order.id().to_string(), status: order.status, total_cents: order.total_cents }
}
