//! Orders and payments: two aggregates, each with rules of its own, a reactor that carries news from one to the other, a
//! deadline that cancels what is not paid, and a list of orders.

pub mod order;
pub mod payment;
pub mod reactors;
pub mod read_models;

use std::time::Duration;

use es_core::{LocalBus, Result, Runner, Running};
use es_sqlite::{SqliteProjection, SqliteStore};

use crate::{
    order::Orders,
    orders::v1::{
        OrderCommandServiceClient, OrderCommandServiceServer, OrderQueryServiceClient, OrderQueryServiceServer,
        OrderRepository,
    },
    payment::Payments,
    payments::v1::{PaymentCommandServiceClient, PaymentCommandServiceServer, PaymentRepository},
    read_models::Queries,
};

es_core::include_protos!();

/// The shop, put together: one file, three services, a read model, a reactor.
#[derive(Debug)]
pub struct Shop {
    /// The events.
    pub store: SqliteStore,
    /// What keeps the list up to date, reacts, and keeps the deadlines.
    pub running: Running,
    /// The list of orders.
    pub list: SqliteProjection,
    /// Sends commands to orders.
    pub orders: OrderCommandServiceClient,
    /// Sends commands to payments.
    pub payments: PaymentCommandServiceClient,
    /// Asks queries.
    pub queries: OrderQueryServiceClient,
}

impl Shop {
    /// Opens the shop on a store. Orders wait so long for their payments.
    ///
    /// # Errors
    /// Where the store is not a shop's.
    pub async fn open(store: SqliteStore, patience: Duration) -> Result<Self> {
        let (bus, list) = (LocalBus::new(), read_models::orders().build(&store)?);
        let orders = OrderCommandServiceClient::new(bus.transport());
        let bus = bus
            .serve(OrderCommandServiceServer::new(
                Orders { later: orders.clone(), patience },
                OrderRepository::new(store.clone()),
            ))
            .serve(PaymentCommandServiceServer::new(Payments, PaymentRepository::new(store.clone())))
            .serve(OrderQueryServiceServer::new(Queries(list.clone())));
        let reactor = reactors::payments(&store, bus.transport()).await?;
        Ok(Self {
            running: Runner::new(store.clone()).run(list.clone()).run(reactor).deliver(bus.transport()).start()?,
            payments: PaymentCommandServiceClient::new(bus.transport()),
            queries: OrderQueryServiceClient::new(bus.transport()),
            store,
            list,
            orders,
        })
    }

    /// Closes the shop; what was acknowledged is in the file.
    ///
    /// # Errors
    /// Where the file can't be closed cleanly.
    pub async fn close(self) -> Result<()> {
        self.running.shutdown().await;
        self.store.shutdown().await
    }
}
