//! Reading what came over a transport.

use prost::Message;

use crate::{AppError, Error, Limits, MethodInfo, QueryContext, Request, Response, Result, error::DecodeError, wire};

mod counted;

use counted::Counted;

/// Decodes a request's message, after checking that it is the one the method takes.
pub(crate) fn message<M: Message + Default>(request: &Request, method: &MethodInfo, limits: &Limits) -> Result<M> {
    if !request.message_type.is_empty() && request.message_type != method.input {
        return Err(Error::invalid_request(format!(
            "{} takes `{}`, the request has `{}`",
            method.route(),
            method.input,
            request.message_type
        )));
    }
    let mut body = Counted::new(&request.body, limits.command_values);
    let decoded = M::decode(&mut body);
    if body.is_exhausted() {
        let (route, values) = (method.route(), limits.command_values);
        return Err(Error::invalid_request(format!(
            "the request of {route} has more than {values} values; send less at a time (commands have as many as the \
             store's Limits::command_values, queries {})",
            Limits::default().command_values
        )));
    }
    // Said to the caller, whose mistake it is: what is stored here is not damaged.
    decoded.map_err(|error| {
        Error::invalid_request(format!("the request of {} is no `{}`: {error}", method.route(), method.input))
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
    /// Takes a query in: checks its type, that it has no more values than a command may have by
    /// default, and decodes it.
    ///
    /// # Errors
    /// [`InvalidRequest`](Error::InvalidRequest).
    pub fn receive(request: Request, method: &'static MethodInfo) -> Result<Self> {
        let query = message(&request, method, &Limits::default())?;
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

#[cfg(test)]
mod tests {
    use prost_types::{ListValue, Value, value::Kind};

    use super::*;

    const METHOD: MethodInfo = MethodInfo { service: "s.S", name: "M", input: "s.In", output: "s.Out" };

    fn decode<M: Message + Default>(body: Vec<u8>, values: usize) -> Result<M, String> {
        let limits = Limits { command_values: values, ..Limits::default() };
        message(&Request::new("s.S", "M", body), &METHOD, &limits).map_err(|error| error.to_string())
    }

    fn list(values: usize) -> ListValue {
        ListValue { values: vec![Value::default(); values] }
    }

    fn text(text: &str) -> Value {
        Value { kind: Some(Kind::StringValue(text.into())) }
    }

    #[test]
    fn a_message_may_have_so_many_values_and_far_more_are_refused() {
        let texts = ListValue { values: vec![text("ada"); 10] };
        assert_eq!(decode::<ListValue>(texts.encode_to_vec(), 20).unwrap(), texts);
        let expected = "invalid request: the request of s.S.M has more than 6 values; send less at a time (commands have \
                        as many as the store's Limits::command_values, queries 16384)";
        assert_eq!(decode::<ListValue>(list(10).encode_to_vec(), 6).unwrap_err(), expected);
    }

    #[test]
    fn a_message_is_not_refused_for_a_number_that_is_read_in_pieces() {
        // A message of field 16, with the text `é`: its key has two bytes, and its last byte looks like part of a number.
        let body = vec![0x82, 0x01, 0x02, 0xc3, 0xa9];
        decode::<()>(body, 1).unwrap();
    }

    #[test]
    fn values_count_wherever_they_are() {
        let inside = Value { kind: Some(Kind::ListValue(list(10))) };
        let body = ListValue { values: vec![inside; 10] }.encode_to_vec();
        decode::<ListValue>(body.clone(), 120).unwrap();
        // Also where the limit is met at the very end of a message inside.
        for values in 0..80 {
            let error = decode::<ListValue>(body.clone(), values).unwrap_err();
            assert!(error.contains(&format!("more than {values} values")), "{error}");
        }
    }

    #[test]
    fn a_message_that_ends_amid_a_number_is_refused_wherever_the_limit_is_met() {
        let mut body = list(10).encode_to_vec();
        body.extend([0xff; 9]);
        for values in 0..30 {
            decode::<ListValue>(body.clone(), values).unwrap_err();
        }
    }

    #[test]
    fn a_message_nested_too_deep_is_refused() {
        let mut nested = Value::default();
        for _ in 0..200 {
            nested = Value { kind: Some(Kind::ListValue(ListValue { values: vec![nested] })) };
        }
        let error = decode::<Value>(nested.encode_to_vec(), 16_384).unwrap_err();
        assert!(error.contains("recursion limit reached"), "{error}");
    }

    #[test]
    fn a_message_that_ends_early_is_refused() {
        let mut body = Value { kind: Some(Kind::StringValue("ada".into())) }.encode_to_vec();
        body.pop();
        let error = decode::<Value>(body, 10).unwrap_err();
        assert!(error.starts_with("invalid request: the request of s.S.M is no `s.In`: "), "{error}");
    }
}
