//! The rules of a payment: initialized, then completed; or called off, and paid back if it was complete.

use es_core::{AppError, CommandContext, Root, ensure, event_applier};

use crate::payments::v1::{
    CallOffPaymentCommand, CompletePaymentCommand, InitializePaymentCommand, Payment, PaymentCalledOff,
    PaymentCommandService, PaymentCompleted, PaymentInitialized, PaymentRefunded, PaymentResponse, PaymentStatus,
};

#[event_applier]
impl Payment {
    fn initialized(&mut self, event: &PaymentInitialized) {
        self.payment_id.clone_from(&event.payment_id);
        self.order_id.clone_from(&event.order_id);
        self.cents = event.cents;
        self.set_status(PaymentStatus::Initialized);
    }

    fn completed(&mut self, _: &PaymentCompleted) {
        self.set_status(PaymentStatus::Completed);
    }

    fn called_off(&mut self, _: &PaymentCalledOff) {
        self.set_status(PaymentStatus::CalledOff);
    }

    fn refunded(&mut self, _: &PaymentRefunded) {
        self.set_status(PaymentStatus::Refunded);
    }
}

/// Decides what happens when a command comes in.
#[derive(Debug)]
pub struct Payments;

impl PaymentCommandService for Payments {
    async fn initialize_payment(
        &self,
        payment: &mut Root<Payment>,
        command: InitializePaymentCommand,
        _: &CommandContext,
    ) -> Result<PaymentResponse, AppError> {
        let InitializePaymentCommand { payment_id, order_id, cents } = command;
        ensure!(cents > 0, AppError::invalid_argument("INVALID_AMOUNT", "an amount has to be more than nothing"));
        let new = payment.status() == PaymentStatus::Unspecified;
        ensure!(new, AppError::already_exists("PAYMENT_EXISTS", "the payment was initialized before"));
        payment.emit(PaymentInitialized { payment_id, order_id, cents });
        Ok(answer(payment))
    }

    async fn complete_payment(
        &self,
        payment: &mut Root<Payment>,
        command: CompletePaymentCommand,
        _: &CommandContext,
    ) -> Result<PaymentResponse, AppError> {
        let open = payment.status() == PaymentStatus::Initialized;
        ensure!(open, AppError::failed_precondition("PAYMENT_NOT_OPEN", "no money is asked for with this payment"));
        let order_id = payment.order_id.clone();
        payment.emit(PaymentCompleted { payment_id: command.payment_id, order_id });
        Ok(answer(payment))
    }

    async fn call_off_payment(
        &self,
        payment: &mut Root<Payment>,
        command: CallOffPaymentCommand,
        _: &CommandContext,
    ) -> Result<PaymentResponse, AppError> {
        let CallOffPaymentCommand { payment_id } = command;
        let (order_id, cents) = (payment.order_id.clone(), payment.cents);
        match payment.status() {
            PaymentStatus::Unspecified => {
                return Err(AppError::not_found("NO_SUCH_PAYMENT", "there is no such payment"));
            }
            PaymentStatus::Initialized => payment.emit(PaymentCalledOff { payment_id, order_id }),
            PaymentStatus::Completed => payment.emit(PaymentRefunded { payment_id, order_id, cents }),
            PaymentStatus::CalledOff | PaymentStatus::Refunded => {}
        }
        Ok(answer(payment))
    }
}

fn answer(payment: &Root<Payment>) -> PaymentResponse {
    PaymentResponse { payment_id: payment.id().to_string(), status: payment.status }
}
