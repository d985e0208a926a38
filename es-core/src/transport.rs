//! Requests, responses, and what carries one to the other.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use crate::{CommandId, Metadata, Receipt, Result, store::BoxFuture};

/// A method of a service, by its full proto names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodInfo {
    /// `bank.v1.AccountCommandService`
    pub service: &'static str,
    /// `Deposit`
    pub name: &'static str,
    /// `bank.v1.DepositCommand`
    pub input: &'static str,
    /// `bank.v1.DepositResponse`
    pub output: &'static str,
}

impl MethodInfo {
    /// `bank.v1.AccountCommandService.Deposit`: the subject it has over NATS.
    pub fn route(&self) -> String {
        format!("{}.{}", self.service, self.name)
    }
}

/// One call on its way to a service: route, headers, bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Full name of the service.
    pub service: Cow<'static, str>,
    /// Name of the method.
    pub method: Cow<'static, str>,
    /// Full name of the body's message; empty means the method's own input.
    pub message_type: Cow<'static, str>,
    /// Whether it only asks: a generated client says so. What is not known to be a query may be a command.
    pub query: bool,
    /// The id of the command, when it has one.
    pub command_id: Option<CommandId>,
    /// What the caller says about the call.
    pub metadata: Metadata,
    /// After this long the transport gives up; without it, after as long as the transport thinks right.
    pub timeout: Option<Duration>,
    /// The encoded message.
    pub body: Vec<u8>,
}

impl Request {
    /// A call of a method.
    pub fn new(
        service: impl Into<Cow<'static, str>>,
        method: impl Into<Cow<'static, str>>,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            service: service.into(),
            method: method.into(),
            message_type: Cow::Borrowed(""),
            query: false,
            command_id: None,
            metadata: Metadata::default(),
            timeout: None,
            body: body.into(),
        }
    }

    /// The method's name.
    pub fn method(&self) -> &str {
        &self.method
    }
}

/// An answer that is not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The encoded response message. A repeated command gets the same bytes again.
    pub data: Vec<u8>,
    /// Full name of the response message.
    pub message_type: Cow<'static, str>,
    /// Commands only: where the events stand.
    pub receipt: Option<Receipt>,
}

impl Response {
    /// An answer with this encoded message.
    pub fn new(message_type: impl Into<Cow<'static, str>>, data: impl Into<Vec<u8>>, receipt: Option<Receipt>) -> Self {
        Self { data: data.into(), message_type: message_type.into(), receipt }
    }
}

/// Carries requests to services: in this process ([`LocalBus`](crate::LocalBus)) or elsewhere.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends a request and awaits its answer, no longer than the request's timeout.
    ///
    /// # Errors
    /// What the service reports, [`NotServed`](crate::Error::NotServed), or what the transport reports: when it gives up,
    /// [`Timeout`](crate::Error::Timeout), or [`OutcomeUnknown`](crate::Error::OutcomeUnknown) with the id of a command
    /// that it gave one.
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response>>;
}

impl<T: Transport + ?Sized> Transport for Arc<T> {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response>> {
        (**self).call(request)
    }
}

/// Answers requests: a generated `…Server`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a server",
    label = "this can't be served",
    note = "wrap it in the server that es-build generated: `AccountCommandServiceServer::new(Accounts, repository)`"
)]
pub trait Service: Send + Sync + 'static {
    /// The full name of the service.
    fn name(&self) -> &'static str;

    /// The methods it has.
    fn methods(&self) -> &'static [MethodInfo];

    /// Answers a request for one of its methods.
    ///
    /// # Errors
    /// [`Rejected`](crate::Error::Rejected) by the domain, or what went wrong on the way.
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response>>;
}
