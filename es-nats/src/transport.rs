//! Calls over NATS.

use std::{fmt, time::Duration};

use async_nats::{HeaderMap, Message, Request as NatsRequest, RequestErrorKind, Subject};
use bytes::Bytes;
use es_core::{CommandId, Error, Request, Response, Result, Retry, Transport, store::BoxFuture};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{Nats, NatsOptions, answer, headers, link::Forbidden, subject};

/// Carries calls to the services of [`NatsServer`](crate::NatsServer)s, or of anything else that speaks protobuf over NATS.
///
/// Every command has an id: its own, or one it is given here. So a command whose answer does not come is sent again, and
/// a server that has carried it out already answers from its record. Cloning is cheap.
///
/// ```no_run
/// # use es_core::{Client, Result};
/// # use es_nats::NatsTransport;
/// # async fn connect() -> Result<()> {
/// let transport = NatsTransport::connect("nats://127.0.0.1:4222").await?;
/// let client = Client::new(transport); // a generated client's `new` takes it, too
/// # let _ = client; Ok(()) }
/// ```
#[derive(Clone)]
pub struct NatsTransport {
    nats: Nats,
    attempt: Duration,
    overall: Duration,
}

impl NatsTransport {
    /// Connects, for a program that needs the connection for nothing else.
    ///
    /// # Errors
    /// As [`Nats::connect`].
    pub async fn connect(options: impl Into<NatsOptions>) -> Result<Self> {
        Ok(Self::new(&Nats::connect(options).await?))
    }

    /// A transport over a connection.
    pub fn new(nats: &Nats) -> Self {
        Self { nats: nats.clone(), attempt: Duration::from_secs(5), overall: Duration::from_secs(20) }
    }

    /// Sends a call again when no answer has come after this long. Default: 5 s.
    #[must_use]
    pub fn attempt_timeout(self, after: Duration) -> Self {
        Self { attempt: after, ..self }
    }

    /// Gives up a call that says nothing else after this long, all attempts together. Default: 20 s.
    #[must_use]
    pub fn timeout(self, after: Duration) -> Self {
        Self { overall: after, ..self }
    }

    async fn send(&self, request: Request) -> Result<Response> {
        let Request { service, method, message_type, query, command_id, mut metadata, timeout, body, .. } = request;
        let command = if query { command_id } else { Some(command_id.unwrap_or_else(CommandId::random)) };
        let subject = subject::of(metadata.tenant.take().as_ref(), &service, &method);
        let headers = headers::write(&message_type, command.as_ref(), &metadata)?;
        self.check_size(&headers, &body)?;
        let after = timeout.unwrap_or(self.overall);
        let deadline = Instant::now() + after;
        let again = || headers::write(&message_type, command.as_ref(), &metadata);
        let read = |body: &[u8]| answer::read(body, || format!("{service}.{method}"), command.as_ref());
        let call = Call { subject: subject.into(), query, body: body.into(), after, deadline, again, read };
        match self.until_answered(&call, headers).await {
            // Nothing that a query does has to be found out.
            Err(Failure::Unknown(source)) if !query => {
                Err(Error::OutcomeUnknown { command_id: command.clone(), source: Some(Box::new(source)) })
            }
            Err(Failure::Unknown(error) | Failure::NotDone(error)) => Err(error),
            Ok(answer) => answer,
        }
    }

    /// Sends the call until there is an answer that holds for all attempts, or no time.
    async fn until_answered(
        &self,
        call: &Call<impl Fn() -> Result<HeaderMap>, impl Fn(&[u8]) -> Result<Response>>,
        headers: HeaderMap,
    ) -> Result<Result<Response>, Failure> {
        let mut headers = Some(headers);
        let timed_out = || Error::Timeout { after: call.after };
        let mut connects = self.nats.link().watch();
        let mut complaints = self.nats.link().complaints();
        self.nats.link().check().map_err(Failure::NotDone)?;
        let mut sent = false;
        let mut refused = 0;
        loop {
            if !self.is_connected(call.deadline).await.map_err(|error| Failure::after(sent, error))? {
                let why = || "no connection to NATS; it is being made again".into();
                return Err(if sent {
                    Failure::Unknown(timed_out())
                } else {
                    Failure::NotDone(Error::Unavailable { why: why() })
                });
            }
            if Instant::now() >= call.deadline {
                return Err(Failure::after(sent, timed_out()));
            }
            connects.mark_unchanged();
            let until = call.deadline.min(Instant::now() + self.attempt);
            let headers = match headers.take() {
                Some(first) => first,
                None => (call.again)().map_err(|error| Failure::after(sent, error))?,
            };
            // Without a time limit of its own: the attempt has one.
            let request = NatsRequest::new().headers(headers).payload(call.body.clone()).timeout(None);
            let connection = self.nats.connection();
            let answer = tokio::select! {
                biased;
                answer = timeout_at(until, connection.client.send_request(call.subject.clone(), request)) => answer.ok(),
                // What was under way may be lost with the old connection.
                Ok(()) = connects.changed() => None,
                forbidden = self.nats.link().forbidden(&mut complaints, &call.subject) => {
                    return Err(match forbidden {
                        Forbidden::Call(error) => Failure::after(sent, error),
                        Forbidden::Answer(error) => Failure::Unknown(error),
                    });
                }
            };
            match answer {
                Some(Ok(Message { payload, .. })) => match (call.read)(&payload) {
                    // Nothing was done for this attempt; one before it is without an answer, and may still be carried out.
                    Err(error) if sent && !call.query && error.retry() == Retry::Safe => {
                        refused += 1;
                        self.pause(refused, call.deadline).await;
                    }
                    answer => return Ok(answer),
                },
                Some(Err(error)) => match error.kind() {
                    RequestErrorKind::NoResponders if !sent => {
                        return Err(Failure::NotDone(Error::Unavailable {
                            why: format!("nothing serves `{}`", call.subject),
                        }));
                    }
                    // Who has it may be on the way back.
                    RequestErrorKind::NoResponders => {
                        refused += 1;
                        self.pause(refused, call.deadline).await;
                    }
                    RequestErrorKind::TimedOut => sent = true,
                    // The server's limit has become a smaller one.
                    RequestErrorKind::MaxPayloadExceeded => {
                        let (limit, actual) = (self.nats.max_payload(), call.body.len());
                        return Err(Failure::after(sent, Error::TooLarge { what: "request", limit, actual }));
                    }
                    RequestErrorKind::InvalidSubject => {
                        let why = format!("`{}` is no subject of a call", call.subject);
                        return Err(Failure::after(sent, Error::InvalidRequest { why }));
                    }
                    // The connection has ended for good, and another is being made.
                    RequestErrorKind::Other => {
                        (sent, refused) = (true, refused + 1);
                        self.pause(refused, call.deadline).await;
                    }
                },
                None => sent = true,
            }
        }
    }

    /// Waits before the attempt after so many refused ones.
    async fn pause(&self, refused: usize, deadline: Instant) {
        let pause = self.nats.link().pause(refused).min(self.attempt);
        sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
    }

    /// Waits until there is a connection, and says whether there is one by then.
    async fn is_connected(&self, deadline: Instant) -> Result<bool> {
        if self.nats.connection().is_up() {
            return Ok(true);
        }
        let mut connects = self.nats.link().watch();
        loop {
            self.nats.link().check()?;
            if self.nats.connection().is_up() {
                return Ok(true);
            }
            // The state may move a moment before it is told.
            let told = timeout_at(deadline.min(Instant::now() + Duration::from_millis(50)), connects.changed()).await;
            if told.is_err() && Instant::now() >= deadline {
                return Ok(false);
            }
        }
    }

    /// Refuses what the server would cut the connection for.
    fn check_size(&self, headers: &HeaderMap, body: &[u8]) -> Result<()> {
        let limit = self.nats.max_payload();
        let headers = headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        let headers = headers
            .map(|(name, value)| headers::text(name).len() + value.as_str().len() + ": \r\n".len())
            .sum::<usize>();
        let actual = body.len() + headers + "NATS/1.0\r\n\r\n".len();
        if actual > limit { Err(Error::TooLarge { what: "request", limit, actual }) } else { Ok(()) }
    }
}

impl Transport for NatsTransport {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response>> {
        Box::pin(self.send(request))
    }
}

impl fmt::Debug for NatsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsTransport")
            .field("nats", &self.nats)
            .field("attempt", &self.attempt)
            .field("overall", &self.overall)
            .finish()
    }
}

/// A call as it is sent, the same each time.
struct Call<H, R> {
    subject: Subject,
    query: bool,
    /// Makes its headers, once more.
    again: H,
    /// Reads the body of its answer.
    read: R,
    body: Bytes,
    after: Duration,
    deadline: Instant,
}

/// Why there is no answer.
enum Failure {
    /// The call was not carried out.
    NotDone(Error),
    /// It may have been.
    Unknown(Error),
}

impl Failure {
    fn after(sent: bool, error: Error) -> Self {
        if sent { Self::Unknown(error) } else { Self::NotDone(error) }
    }
}
