//! Serving generated servers over NATS.

use std::{fmt, sync::Arc, time::Duration};

use es_core::{Error, EventStore, LocalBus, Request, Response, Result, Route, Service, StoreIdentity, Tenant};
use tower_layer::Layer;

use crate::{Nats, subject};

mod discovery;
mod endpoint;
mod gate;
mod incoming;
mod membership;
mod serving;
mod session;
mod worker;

pub use serving::{Serving, ServingState};

use gate::Gate;
use session::Work;

/// Serves generated servers as NATS services: `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS` answer for them, any program that
/// speaks protobuf over NATS calls them, and several processes in one queue group share the work.
///
/// All who serve a subject must work on one store: two would split every aggregate between them in silence. A server
/// therefore announces its store, and does not start where another store is served.
///
/// ```no_run
/// # use es_core::{EventStore, Result, Service};
/// # use es_nats::{Nats, NatsServer};
/// # async fn serve(store: impl EventStore, accounts: impl Service) -> Result<()> {
/// let nats = Nats::connect("nats://127.0.0.1:4222").await?;
/// let serving = NatsServer::new(&nats, &store).serve(accounts).queue_group("bank").start().await?;
/// tokio::select! {
///     ended = serving.wait() => ended?, // calls no longer reach it, and that does not pass by itself
///     _ = until_told_to_end() => {}     // for instance tokio::signal::ctrl_c()
/// }
/// serving.shutdown().await; // answers what has come
/// # Ok(()) }
/// # async fn until_told_to_end() {}
/// ```
#[must_use = "a server does nothing until it is started"]
pub struct NatsServer {
    nats: Nats,
    store: StoreIdentity,
    bus: LocalBus,
    queue_group: String,
    concurrency: usize,
    waiting: usize,
    deadline: Duration,
    tenants: Vec<Tenant>,
    without_tenant: Option<bool>,
    trust_tenant_header: bool,
}

impl NatsServer {
    /// A server of services that work on this store. It makes a connection of its own, to the same servers.
    pub fn new(nats: &Nats, store: &(impl EventStore + ?Sized)) -> Self {
        Self {
            nats: nats.clone(),
            store: store.identity(),
            bus: LocalBus::new(),
            queue_group: "q".into(),
            concurrency: 256,
            waiting: 1024,
            deadline: Duration::from_secs(30),
            tenants: Vec::new(),
            without_tenant: None,
            trust_tenant_header: false,
        }
    }

    /// Serves a service; one of the same name served earlier is replaced.
    pub fn serve(mut self, service: impl Service) -> Self {
        self.bus = self.bus.serve(service);
        self
    }

    /// Serves all services of a bus as they are when the server starts, and keeps serving them within the process.
    pub fn bus(mut self, bus: &LocalBus) -> Self {
        self.bus = bus.clone();
        self
    }

    /// Puts middleware around every service served so far, as [`LocalBus::layer`] does.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Route>,
        L::Service: tower_service::Service<Request, Response = Response, Error = Error> + Clone + Send + Sync + 'static,
        <L::Service as tower_service::Service<Request>>::Future: Send,
    {
        self.bus = self.bus.layer(layer);
        self
    }

    /// Shares the work with servers of the same group; each request goes to one of them. Default: `q`.
    pub fn queue_group(mut self, group: impl Into<String>) -> Self {
        self.queue_group = group.into();
        self
    }

    /// Works on so many requests at once; those beyond wait. Default: 256.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests.max(1);
        self
    }

    /// Lets so many requests wait; those beyond are answered at once with the code `BACKPRESSURE`: not carried out, and to
    /// be sent again later. [`NatsTransport`](crate::NatsTransport) leaves that to its caller, as
    /// [`Backpressure`](Error::Backpressure), unless an earlier attempt of the same command is without an answer. Default: 1024.
    pub fn waiting(mut self, requests: usize) -> Self {
        self.waiting = requests;
        self
    }

    /// Gives up on a request this long after it has come, and answers with the code `TIMEOUT`. A command may have been
    /// carried out all the same; sent again with its id, it tells. [`NatsTransport`](crate::NatsTransport) leaves that to its
    /// caller, as [`OutcomeUnknown`](Error::OutcomeUnknown) with the id. Default: 30 s.
    pub fn deadline(mut self, after: Duration) -> Self {
        self.deadline = after;
        self
    }

    /// Serves these tenants only, so that tenants are spread over servers with stores of their own. Without it, all
    /// tenants are served, and requests without one.
    pub fn tenants(mut self, tenants: impl IntoIterator<Item = Tenant>) -> Self {
        self.tenants.extend(tenants);
        self
    }

    /// Serves requests without a tenant, or does not. Default: unless only some tenants are served.
    pub fn without_tenant(mut self, served: bool) -> Self {
        self.without_tenant = Some(served);
        self
    }

    /// Believes the header `Tenant-ID` of a request whose subject has no tenant. Only for networks where no one can send
    /// such a request who may not act for every tenant.
    pub fn trust_tenant_header(mut self) -> Self {
        self.trust_tenant_header = true;
        self
    }

    /// Starts to serve.
    ///
    /// # Errors
    /// [`Refused`](Error::Refused) when these subjects are served from another store, or the server's permissions forbid
    /// it; [`InvalidRequest`](Error::InvalidRequest) when nothing is served, or under a queue group that can't be one;
    /// [`Unavailable`](Error::Unavailable) when NATS does not answer.
    pub async fn start(self) -> Result<Serving> {
        let routes = self.bus.routes();
        if routes.is_empty() {
            return Err(Error::InvalidRequest { why: "the NATS server serves nothing: call serve() first".into() });
        }
        if self.queue_group.is_empty() || self.queue_group.contains(char::is_whitespace) {
            return Err(Error::InvalidRequest {
                why: format!("{:?} is no queue group: a name without white space is one", self.queue_group),
            });
        }
        let gate = Gate::new(self.concurrency, self.waiting)?;
        let rules = worker::Rules {
            deadline: self.deadline,
            tenants: self.tenants.clone(),
            trust_tenant_header: self.trust_tenant_header,
        };
        let rules = Arc::new(rules);
        serving::start(self, routes, |stop| Work { rules, gate, stop }).await
    }

    /// The subjects of a method.
    fn subjects(&self, service: &str, method: &str) -> Vec<String> {
        let mut subjects: Vec<_> =
            self.tenants.iter().map(|tenant| subject::of(Some(tenant), service, method)).collect();
        if subjects.is_empty() {
            subjects.push(subject::of_any_tenant(service, method));
        }
        if self.without_tenant.unwrap_or(self.tenants.is_empty()) {
            subjects.push(subject::of(None, service, method));
        }
        subjects
    }
}

impl fmt::Debug for NatsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsServer")
            .field("nats", &self.nats)
            .field("services", &self.bus)
            .field("queue_group", &self.queue_group)
            .finish_non_exhaustive()
    }
}
