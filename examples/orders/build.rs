//! Generates orders and payments from their protos.

fn main() -> es_build::Result<()> {
    es_build::compile_protos(&["proto/orders/v1/order.proto", "proto/payments/v1/payment.proto"], &["proto"])
}
