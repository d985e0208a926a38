//! The server is given the repository of another aggregate.

include!("../generated/shop/_protos.rs");

use es_core::{AppError, CommandContext, LocalBus, MemoryStore, Root, event_applier};
use shop::{domain::v1::*, service::v1::*};

#[event_applier]
impl Cart {
    fn started(&mut self, _: &CartStartedEvent) {}
    fn added(&mut self, _: &ItemAddedEvent) {}
    fn abandoned(&mut self, _: &shop::support::v1::CartAbandoned) {}
}

#[event_applier]
impl Order {
    fn placed(&mut self, _: &OrderPlaced) {}
}

struct Orders;

impl OrderCommandService for Orders {
    async fn place_order(&self, _: &mut Root<Order>, _: PlaceOrderCommand, _: &CommandContext) -> Result<(), AppError> {
        Ok(())
    }
}

fn main() {
    let carts = CartRepository::new(MemoryStore::new());
    let _ = LocalBus::new().serve(OrderCommandServiceServer::new(Orders, carts));
}
