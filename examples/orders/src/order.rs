//! The rules of an order: placed, paid, shipped, delivered; or cancelled before it is paid.

use es_core::{AppError, CommandContext, Root, ensure, event_applier};

use crate::orders::v1::{
    CancelOrderCommand, ConfirmPaymentCommand, Order, OrderCancelled, OrderCommandService, OrderDelivered, OrderPaid,
    OrderPlaced, OrderResponse, OrderShipped, OrderStatus, ParcelSeen, PlaceOrderCommand, UpdateShippingCommand,
    update_shipping_command::News,
};

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

/// Decides what happens when a command comes in.
#[derive(Debug)]
pub struct Orders;

impl OrderCommandService for Orders {
    async fn place_order(
        &self,
        order: &mut Root<Order>,
        command: PlaceOrderCommand,
        _: &CommandContext,
    ) -> Result<OrderResponse, AppError> {
        let PlaceOrderCommand { customer, lines } = command;
        ensure!(!customer.is_empty(), AppError::invalid_argument("CUSTOMER_MISSING", "say who orders"));
        ensure!(!lines.is_empty(), AppError::invalid_argument("NOTHING_ORDERED", "an order has at least one line"));
        let sound = lines.iter().all(|line| line.quantity > 0 && (1..=MOST_CENTS).contains(&line.price_cents));
        ensure!(sound, AppError::invalid_argument("INVALID_LINE", "quantities and prices are more than nothing"));
        let total_cents = lines.iter().map(|line| i64::from(line.quantity) * line.price_cents).sum();
        order.emit(OrderPlaced { order_id: order.id().to_string(), customer, lines, total_cents });
        Ok(answer(order))
    }

    async fn cancel_order(
        &self,
        order: &mut Root<Order>,
        command: CancelOrderCommand,
        _: &CommandContext,
    ) -> Result<OrderResponse, AppError> {
        order.ensure_is(OrderStatus::Placed, "to be cancelled")?;
        order.emit(OrderCancelled { order_id: command.order_id, reason: command.reason });
        Ok(answer(order))
    }

    async fn confirm_payment(
        &self,
        order: &mut Root<Order>,
        command: ConfirmPaymentCommand,
        _: &CommandContext,
    ) -> Result<OrderResponse, AppError> {
        order.ensure_is(OrderStatus::Placed, "to be paid")?;
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
