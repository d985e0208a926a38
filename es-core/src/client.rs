//! The caller's side: what generated clients are made of.

use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    sync::Arc,
    time::Duration,
};

use prost::Message;

use crate::{
    CommandId, Error, Metadata, MethodInfo, Reply, Request, Response, Result, Tenant, Transport, error::DecodeError,
    store::BoxFuture,
};

/// A transport, and what every call over it says. Generated clients wrap it.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Arc<dyn Transport>,
    defaults: Arc<Metadata>,
}

impl Client {
    /// A client over a transport.
    pub fn new(transport: impl Transport) -> Self {
        Self { transport: Arc::new(transport), defaults: Arc::default() }
    }

    /// Says this with every call that does not say otherwise.
    #[must_use]
    pub fn with(self, metadata: Metadata) -> Self {
        Self { defaults: Arc::new(metadata.or(&self.defaults)), ..self }
    }

    /// A call of a command's method.
    pub fn command<C: Message, R>(&self, method: &'static MethodInfo, command: C) -> Call<R> {
        Call(Pending::new(self, method, &command))
    }

    /// A call of a query's method.
    pub fn query<Q: Message, R>(&self, method: &'static MethodInfo, query: Q) -> Query<R> {
        let mut pending = Pending::new(self, method, &query);
        pending.request.query = true;
        Query(pending)
    }
}

/// A call that is not sent yet.
#[derive(Clone)]
struct Pending<R> {
    transport: Arc<dyn Transport>,
    defaults: Arc<Metadata>,
    request: Request,
    metadata: Metadata,
    method: &'static MethodInfo,
    timeout: Option<Duration>,
    /// The first bad value given to the builder; told when the call is awaited.
    invalid: Option<Arc<Error>>,
    response: PhantomData<fn() -> R>,
}

impl<R> Pending<R> {
    fn new(client: &Client, method: &'static MethodInfo, message: &impl Message) -> Self {
        let mut request = Request::new(method.service, method.name, message.encode_to_vec());
        request.message_type = method.input.into();
        Self {
            transport: client.transport.clone(),
            defaults: client.defaults.clone(),
            request,
            metadata: Metadata::default(),
            method,
            timeout: None,
            invalid: None,
            response: PhantomData,
        }
    }

    fn tenant(&mut self, tenant: impl TryInto<Tenant, Error = Error>) {
        match tenant.try_into() {
            Ok(tenant) => self.metadata.tenant = Some(tenant),
            Err(error) => self.refuse(error),
        }
    }

    fn refuse(&mut self, error: Error) {
        self.invalid.get_or_insert(Arc::new(error));
    }

    fn into_request(self) -> Result<Request> {
        if let Some(error) = self.invalid {
            return Err(Arc::try_unwrap(error).unwrap_or_else(|shared| Error::invalid_request(shared.to_string())));
        }
        Ok(Request { metadata: self.metadata.or(&self.defaults), ..self.request })
    }

    /// Sends it. What is only needed until then is no part of the future.
    fn send(self) -> impl Future<Output = Result<(R, Response)>> + Send + use<R>
    where
        R: Message + Default + 'static,
    {
        let (transport, method, timeout) = (self.transport.clone(), self.method, self.timeout);
        let request = self.into_request().map(|request| Request { timeout, ..request });
        async move {
            let response = transport.call(request?).await?;
            let decoded = R::decode(&*response.data).map_err(|error| Error::Decode {
                what: format!("the response `{}` of {}", method.output, method.route()),
                source: DecodeError::malformed(error),
            })?;
            Ok((decoded, response))
        }
    }
}

impl<R> fmt::Debug for Pending<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("method", &self.method.route())
            .field("command_id", &self.request.command_id)
            .field("metadata", &self.metadata)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

macro_rules! call_options {
    ($name:ident) => {
        impl<R> $name<R> {
            /// Sets the tenant. A bad one is reported when the call is awaited.
            pub fn tenant(mut self, tenant: impl TryInto<Tenant, Error = Error>) -> Self {
                self.0.tenant(tenant);
                self
            }

            /// Sets who makes the call.
            pub fn principal(mut self, id: impl Into<String>) -> Self {
                self.0.metadata.principal_id = Some(id.into());
                self
            }

            /// Sets what the call belongs to.
            pub fn correlation(mut self, id: impl Into<String>) -> Self {
                self.0.metadata.correlation_id = Some(id.into());
                self
            }

            /// Sets everything the call says at once; what it leaves open comes from the client's defaults.
            pub fn metadata(mut self, metadata: Metadata) -> Self {
                self.0.metadata = metadata;
                self
            }

            /// Gives up after this long. Without it a call within the process waits for its answer, and one over a network for
            /// as long as its transport is told to.
            pub fn timeout(mut self, after: Duration) -> Self {
                self.0.timeout = Some(after);
                self
            }
        }
    };
}

/// A command about to be sent: await it, or say more about it first.
///
/// ```
/// # use es_core::{Call, Receipt, Result};
/// # async fn send<R: prost::Message + Default + 'static>(call: Call<R>) -> Result<Receipt> {
/// let reply = call.command_id("c-7").principal("alice").await?;
/// # Ok(reply.receipt().clone()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a call does nothing until it is awaited"]
pub struct Call<R>(Pending<R>);

call_options!(Call);

impl<R> Call<R> {
    /// Gives the command an id: however often it is sent, it is carried out once and answered the same, for as long as
    /// answers are kept; what then depends on the [id](CommandId). A bad id is reported when the call is awaited.
    pub fn command_id(mut self, id: impl TryInto<CommandId, Error = Error>) -> Self {
        match id.try_into() {
            Ok(id) => self.0.request.command_id = Some(id),
            Err(error) => self.0.refuse(error),
        }
        self
    }

    /// Sets the command or event that caused this command.
    pub fn causation(mut self, id: impl Into<String>) -> Self {
        self.0.metadata.causation_id = Some(id.into());
        self
    }

    /// The request it would send, to be sent by someone else or later. The timeout is no part of it.
    ///
    /// # Errors
    /// What was wrong with a value given before.
    pub fn into_request(self) -> Result<Request> {
        self.0.into_request()
    }
}

impl<R: Message + Default + 'static> IntoFuture for Call<R> {
    type Output = Result<Reply<R>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let (method, sent) = (self.0.method, self.0.send());
        Box::pin(async move {
            let (response, raw) = sent.await?;
            let receipt = raw
                .receipt
                .ok_or_else(|| Error::invalid_request(format!("{} answered without a receipt", method.route())))?;
            Ok(Reply::new(response, receipt))
        })
    }
}

/// A query about to be sent: await it, or say more about it first.
#[derive(Clone, Debug)]
#[must_use = "a query does nothing until it is awaited"]
pub struct Query<R>(Pending<R>);

call_options!(Query);

impl<R: Message + Default + 'static> IntoFuture for Query<R> {
    type Output = Result<R>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let sent = self.0.send();
        Box::pin(async move { Ok(sent.await?.0) })
    }
}
