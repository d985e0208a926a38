//! Services in this process.

use std::{
    collections::HashMap,
    fmt,
    future::{poll_fn, ready},
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
};

use tower_layer::Layer;

use crate::{Error, MethodInfo, Request, Response, Result, Service, Transport, store::BoxFuture};

type Table = RwLock<HashMap<&'static str, Route>>;

/// Serves generated servers within the process. Clones, and transports taken from it, share its table.
///
/// ```
/// # use es_core::{LocalBus, Service};
/// # fn wire(accounts: impl Service, queries: impl Service) {
/// let bus = LocalBus::new().serve(accounts).serve(queries);
/// let transport = bus.transport(); // for any number of clients
/// # let _ = transport; }
/// ```
#[derive(Clone, Default)]
pub struct LocalBus {
    routes: Arc<Table>,
}

impl LocalBus {
    /// A bus that serves nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves a service; one of the same name served earlier is replaced.
    #[must_use]
    pub fn serve(self, service: impl Service) -> Self {
        let route = Route::new(service);
        let name = route.name();
        if self.table(|routes| routes.insert(name, route)).is_some() {
            tracing::warn!(service = name, "served twice on one bus; the last one answers");
        }
        self
    }

    /// Puts middleware around every service served so far: any [`tower_layer::Layer`] over [`Request`] and
    /// [`Response`].
    #[must_use]
    pub fn layer<L>(self, layer: L) -> Self
    where
        L: Layer<Route>,
        L::Service: tower_service::Service<Request, Response = Response, Error = Error> + Clone + Send + Sync + 'static,
        <L::Service as tower_service::Service<Request>>::Future: Send,
    {
        self.table(|routes| {
            for route in routes.values_mut() {
                let (name, methods) = (route.name(), route.methods());
                *route = Route::new(Layered { service: layer.layer(route.clone()), name, methods });
            }
        });
        self
    }

    /// What is served so far, in the order of the services' names.
    pub fn routes(&self) -> Vec<Route> {
        let mut routes: Vec<_> = self.table(|routes| routes.values().cloned().collect());
        routes.sort_unstable_by_key(Route::name);
        routes
    }

    /// A transport to the services of this bus, those served later included.
    pub fn transport(&self) -> LocalTransport {
        LocalTransport { routes: self.routes.clone() }
    }

    fn table<R>(&self, change: impl FnOnce(&mut HashMap<&'static str, Route>) -> R) -> R {
        change(&mut self.routes.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for LocalBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.transport().fmt(f)
    }
}

/// Carries calls to the services of a [`LocalBus`]. Cloning is cheap.
#[derive(Clone)]
pub struct LocalTransport {
    routes: Arc<Table>,
}

impl Transport for LocalTransport {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response>> {
        let route = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(&*request.service).cloned();
        match route {
            Some(route) => Box::pin(async move { route.answer(request).await }),
            None => Box::pin(ready(Err(Error::NotServed { route: request.service.into_owned() }))),
        }
    }
}

impl fmt::Debug for LocalTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_tuple("LocalBus").field(&routes.keys()).finish()
    }
}

/// A served service, as middleware sees it: a [`tower_service::Service`] over [`Request`] and [`Response`].
#[derive(Clone)]
pub struct Route(Arc<dyn Service>);

impl Route {
    fn new(service: impl Service) -> Self {
        Self(Arc::new(service))
    }

    /// The full name of the service.
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// The methods it has.
    pub fn methods(&self) -> &'static [MethodInfo] {
        self.0.methods()
    }

    /// Answers a request, no later than its timeout.
    ///
    /// # Errors
    /// As [`Service::call`], and [`Timeout`](Error::Timeout).
    pub fn answer(&self, request: Request) -> BoxFuture<'_, Result<Response>> {
        match request.timeout {
            Some(after) => Box::pin(async move {
                tokio::time::timeout(after, self.0.call(request)).await.unwrap_or(Err(Error::Timeout { after }))
            }),
            None => self.0.call(request),
        }
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Route").field(&self.name()).finish()
    }
}

impl tower_service::Service<Request> for Route {
    type Response = Response;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move { service.call(request).await })
    }
}

/// A service with middleware around it.
struct Layered<S> {
    service: S,
    name: &'static str,
    methods: &'static [MethodInfo],
}

impl<S> Service for Layered<S>
where
    S: tower_service::Service<Request, Response = Response, Error = Error> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn methods(&self) -> &'static [MethodInfo] {
        self.methods
    }

    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response>> {
        let mut service = self.service.clone();
        Box::pin(async move {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request).await
        })
    }
}
