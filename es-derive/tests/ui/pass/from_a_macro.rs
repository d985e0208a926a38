//! What a `macro_rules!` writes reaches our macros with invisible groups around types, and with names of two origins.
#![deny(warnings)]

use es_core::{Aggregate, Applier, EventSet, event_applier};
use serde::{Deserialize, Serialize};

macro_rules! counter {
    ($state:ident, $set:ident, $name:literal, $version:literal, $event:ident, $payload:ty) => {
        #[derive(Clone, Debug, EventSet)]
        #[events(package = "shop.v1")]
        enum $set {
            #[event(version = $version, type = $name)]
            $event($payload),
        }

        #[derive(Clone, Debug, Default, Serialize, Deserialize, Aggregate)]
        #[aggregate(event = $set, type = $name, snapshot = serde, snapshot_version = $version)]
        struct $state {
            count: u64,
        }

        #[event_applier]
        impl $state {
            fn counted(&mut self, _: &$payload) {
                self.count += 1;
            }
        }
    };
}

macro_rules! shop {
    () => {
        #[derive(Clone, Debug, Serialize, Deserialize)]
        struct Sold;

        counter!(Stock, StockEvent, "shop.v1.Stock", 2, Sold, Sold);
    };
}

shop!();

fn main() {
    let mut stock = Stock::default();
    stock.apply(&Sold.into());
    assert_eq!(stock.count, 1);
    assert_eq!(Stock::restore(&stock.snapshot().expect("JSON")).expect("the same").count, 1);
}
