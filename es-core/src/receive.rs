//! Reading what came over a transport.

use prost::Message;

use crate::{AppError, Error, MethodInfo, QueryContext, Request, Response, Result, error::DecodeError, wire};

/// Decodes a request's message, after checking that it is the one the method takes.
pub(crate) fn message<M: Message + Default>(request: &Request, method: &MethodInfo) -> Result<M> {
    if !request.message_type.is_empty() && request.message_type != method.input {
        return Err(Error::invalid_request(format!(
            "{} takes `{}`, the request has `{}`",
            method.route(),
            method.input,
            request.message_type
        )));
    }
    M::decode(&*request.body).map_err(|error| Error::Decode {
        what: format!("the request `{}` of {}", method.input, method.route()),
        source: DecodeError::malformed(error),
    })
}

/// Decodes a recorded refusal.
pub(crate) fn refusal(recorded: &[u8]) -> Result<AppError> {
    let refusal = wire::AppError::decode(recorded)
        .map_err(|error| Error::Decode { what: "a recorded refusal".into(), source: DecodeError::malformed(error) })?;
    Ok(refusal.into())
}

/// Says in a panic's error whose handler it was.
pub(crate) fn name_panic<R>(answered: Result<R>, method: &MethodInfo) -> Result<R> {
    answered.map_err(|error| match error {
        Error::HandlerPanicked { .. } => Error::HandlerPanicked { what: format!("the handler of {}", method.route()) },
        error => error,
    })
}

/// One query on its way through a generated server.
#[derive(Debug)]
pub struct QueryCall<Q> {
    query: Q,
    context: QueryContext,
    method: &'static MethodInfo,
}

impl<Q: Message + Default> QueryCall<Q> {
    /// Takes a query in: checks its type and decodes it.
    ///
    /// # Errors
    /// [`InvalidRequest`](Error::InvalidRequest) or [`Decode`](Error::Decode).
    pub fn receive(request: Request, method: &'static MethodInfo) -> Result<Self> {
        let query = message(&request, method)?;
        Ok(Self { query, context: QueryContext::new(request.metadata), method })
    }

    /// The query, for the handler.
    pub fn query(&self) -> Q
    where
        Q: Clone,
    {
        self.query.clone()
    }

    /// The query's circumstances, for the handler.
    pub fn context(&self) -> &QueryContext {
        &self.context
    }

    /// Turns what the handler answered into a response.
    ///
    /// # Errors
    /// [`Rejected`](Error::Rejected) with the handler's refusal, or [`HandlerPanicked`](Error::HandlerPanicked).
    pub fn respond<R: Message>(&self, answered: Result<Result<R, AppError>>) -> Result<Response> {
        let response = name_panic(answered, self.method)?.map_err(AppError::into_error)?;
        Ok(Response::new(self.method.output, response.encode_to_vec(), None))
    }
}

/// The error of a request for a method that the service does not have.
pub fn unknown_method(service: &'static str, method: &str) -> Error {
    Error::NotServed { route: format!("{service}.{method}") }
}
