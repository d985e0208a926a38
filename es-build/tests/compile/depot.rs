//! Which aggregate a service works on, where its files leave it to names.
#![deny(warnings)]

include!("../generated/depot/_protos.rs");

use depot::{domain::v1::*, service::v1::*};
use es_core::{Aggregate, AppError, CommandContext, LocalBus, MemoryStore, QueryContext, Root, event_applier};

#[event_applier]
impl ParcelState {
    fn stored(&mut self, event: &ParcelStored) {
        self.shelf = event.shelf.clone();
    }
}

#[event_applier]
impl Truck {
    fn left(&mut self, _: &TruckLeft) {
        self.tours += 1;
    }
}

struct Depot;

impl ParcelCommandService for Depot {
    async fn store(
        &self,
        parcel: &mut Root<ParcelState>,
        command: StoreCommand,
        _: &CommandContext,
    ) -> Result<StoreResponse, AppError> {
        let shelf_before = parcel.shelf.clone();
        parcel.emit(ParcelStored { shelf: command.shelf });
        Ok(StoreResponse { shelf_before })
    }
}

impl TruckCommandService for Depot {
    async fn leave(
        &self,
        truck: &mut Root<Truck>,
        command: LeaveCommand,
        _: &CommandContext,
    ) -> Result<LeaveResponse, AppError> {
        truck.emit(TruckLeft { plate: command.plate });
        Ok(LeaveResponse { tours: truck.tours })
    }
}

impl TruckQueryService for Depot {
    async fn count_tours(&self, _: CountToursRequest, _: &QueryContext) -> Result<CountToursResponse, AppError> {
        Ok(CountToursResponse { tours: 7 })
    }
}

#[tokio::main]
async fn main() {
    assert_eq!((ParcelState::TYPE, Truck::TYPE), ("Parcel", "depot.domain.v1.Truck"));
    let store = MemoryStore::new();
    let bus = LocalBus::new()
        .serve(ParcelCommandServiceServer::new(Depot, ParcelRepository::new(store.clone())))
        .serve(TruckCommandServiceServer::new(Depot, TruckRepository::new(store)))
        .serve(TruckQueryServiceServer::new(Depot));
    let parcels = ParcelCommandServiceClient::new(bus.transport());
    let put = |shelf: &str| StoreCommand { parcel_id: "p".into(), shelf: shelf.into() };
    parcels.store(put("A1")).await.unwrap();
    assert_eq!(parcels.store(put("B2")).await.unwrap().shelf_before, "A1");
    let trucks = TruckCommandServiceClient::new(bus.transport());
    assert_eq!(trucks.leave(LeaveCommand { plate: "X".into() }).await.unwrap().tours, 1);
    let counted = TruckQueryServiceClient::new(bus.transport()).count_tours(CountToursRequest { plate: "X".into() });
    assert_eq!(counted.await.unwrap().tours, 7);
}
