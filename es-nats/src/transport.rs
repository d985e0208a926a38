//! Calls over NATS.

use std::{fmt, future::ready, pin::pin, sync::Arc, time::Duration};

use async_nats::{HeaderMap, Message, Request as NatsRequest, RequestErrorKind};
use bytes::Bytes;
use es_core::{CommandId, Error, Request, Response, Result, Retry, Transport, store::BoxFuture};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{Nats, NatsOptions, answer, headers, later::later, link::Forbidden, pool::Pool, subject};

/// A call that takes long looks this often whether its connection is still there.
const LOOK: Duration = Duration::from_millis(100);

/// Carries calls to the services of [`NatsServer`](crate::NatsServer)s, or of anything else that speaks protobuf over NATS.
///
/// Every command has an id: its own, or one it is given here. So a command whose answer does not come is sent again, and
/// a server that has carried it out already answers from its record. Cloning is cheap.
///
/// | what is the matter | a call |
/// |---|---|
/// | the connection is lost | waits for another one, up to [`timeout`](Self::timeout); then [`Unavailable`](Error::Unavailable): not carried out |
/// | nothing serves the method | fails at once with [`Unavailable`](Error::Unavailable): not carried out |
/// | the service says no, or is overloaded ([`Backpressure`](Error::Backpressure)) | fails at once with that |
/// | the NATS server forbids it, or does not take us in | fails at once with [`Refused`](Error::Refused) |
/// | no answer comes | is sent again after each [`attempt_timeout`](Self::attempt_timeout), up to [`timeout`](Self::timeout); then a command is [`OutcomeUnknown`](Error::OutcomeUnknown) and a query [`Timeout`](Error::Timeout) |
///
/// After a first attempt without an answer, a command may be under way. So the later ones wait where it would fail at
/// once: for a service that is gone, or overloaded, to be there again.
///
/// Without a server, [`connect`](Self::connect) fails at once. [`Nats::connect_when_there`] waits for one.
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
    shared: Arc<Shared>,
    attempt: Duration,
    overall: Duration,
}

struct Shared {
    nats: Nats,
    calls: Arc<Pool<Result<Response>>>,
}

impl NatsTransport {
    /// Connects, for a program that needs the connection for nothing else. For one that shares a connection:
    /// [`new`](Self::new).
    ///
    /// # Errors
    /// As [`Nats::connect`].
    pub async fn connect(options: impl Into<NatsOptions>) -> Result<Self> {
        Ok(Self::new(&Nats::connect(options).await?))
    }

    /// A transport over a connection.
    pub fn new(nats: &Nats) -> Self {
        let shared = Arc::new(Shared { nats: nats.clone(), calls: Arc::default() });
        Self { shared, attempt: Duration::from_secs(5), overall: Duration::from_secs(20) }
    }

    /// Sends a call again when no answer has come after this long. Default: 5 s.
    #[must_use]
    pub fn attempt_timeout(self, after: Duration) -> Self {
        Self { attempt: after, ..self }
    }

    /// Gives up a call after this long, all attempts together. Default: 20 s. A call with a limit of its own,
    /// `accounts.deposit(..).timeout(..)`, has that one instead.
    #[must_use]
    pub fn timeout(self, after: Duration) -> Self {
        Self { overall: after, ..self }
    }

    /// What is sent, the same each time; refused where it can't be.
    fn prepare(&self, mut request: Request) -> Result<(Call, HeaderMap)> {
        if !request.query {
            request.command_id.get_or_insert_with(CommandId::random);
        }
        let after = request.timeout.unwrap_or(self.overall);
        let body = Bytes::from(std::mem::take(&mut request.body));
        let call = Call { request, body, after, deadline: later(Instant::now(), after) };
        let headers = call.headers()?;
        Ok((call, headers))
    }

    #[expect(clippy::manual_async_fn, reason = "an async fn would have room for its arguments twice")]
    fn send(self, call: Call, headers: HeaderMap) -> impl Future<Output = Result<Response>> + Send {
        async move {
            let answer = match self.attempt(&call, headers).await {
                Attempt::Answered(answer) => Ok(answer),
                // Rare, and its room need not be part of every call.
                other => Box::pin(self.go_on(&call, other)).await,
            };
            match answer {
                Ok(answer) => answer,
                // Nothing that a query does has to be found out.
                Err(Failure::Unknown(source)) if !call.request.query => {
                    Err(Error::OutcomeUnknown { command_id: call.request.command_id, source: Some(Box::new(source)) })
                }
                Err(Failure::Unknown(error) | Failure::NotDone(error)) => Err(error),
            }
        }
    }

    /// Sends the call once, and waits for its answer.
    async fn attempt(&self, call: &Call, headers: HeaderMap) -> Attempt {
        let link = self.shared.nats.link();
        let since = link.told();
        if since.is_blocked
            && let Err(error) = link.check()
        {
            return Attempt::Failed(error);
        }
        let connection = self.shared.nats.connection();
        if !connection.is_up() {
            return Attempt::NotSent;
        }
        let now = Instant::now();
        let (until, mut look) = (call.deadline.min(later(now, self.attempt)), now + LOOK);
        // Without a time limit of its own: the attempt has one.
        let request = NatsRequest::new().headers(headers).payload(call.body.clone()).timeout(None);
        let mut answer = pin!(connection.client.send_request(call.subject(), request));
        let answer = loop {
            // Most calls are over before, and a place among those who wait to be told would cost each of them as much.
            if let Ok(answer) = timeout_at(until.min(look), &mut answer).await {
                break answer;
            }
            let told = link.told();
            if told != since {
                match link.forbidden(since, &call.subject()) {
                    Some(Forbidden::Call(error)) => return Attempt::Failed(error),
                    Some(Forbidden::Answer(error)) => return Attempt::Unanswered(error),
                    None => {}
                }
            }
            // What was under way may be lost with the old connection.
            if look >= until || told.connects != since.connects {
                return Attempt::Lost;
            }
            look = Instant::now() + LOOK;
        };
        match answer {
            Ok(Message { payload, .. }) => Attempt::Answered(call.read(&payload)),
            Err(error) => match error.kind() {
                RequestErrorKind::NoResponders => Attempt::NoResponders,
                RequestErrorKind::TimedOut => Attempt::Lost,
                // Before anything was sent.
                RequestErrorKind::MaxPayloadExceeded => {
                    let limit = connection.client.max_payload();
                    Attempt::Failed(
                        call.size()
                            .map_or_else(|error| error, |actual| Error::TooLarge { what: "request", limit, actual }),
                    )
                }
                RequestErrorKind::InvalidSubject => {
                    let why = format!("`{}` is no subject of a call", call.subject());
                    Attempt::Failed(Error::InvalidRequest { why })
                }
                RequestErrorKind::Other => Attempt::Ended,
            },
        }
    }

    /// Goes on after the first attempt, until there is an answer that holds for all of them, or no time.
    async fn go_on(&self, call: &Call, first: Attempt) -> Result<Result<Response>, Failure> {
        let (mut last, mut sent, mut refused) = (first, false, 0);
        loop {
            let refuses = match last {
                // Nothing was done for this attempt; one before it is without an answer, and may still be carried out.
                Attempt::Answered(Err(error)) if sent && !call.request.query && error.retry() == Retry::Safe => true,
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::Failed(error) => return Err(Failure::after(sent, error)),
                Attempt::Unanswered(error) => return Err(Failure::Unknown(error)),
                Attempt::NoResponders if !sent => {
                    let why = format!("nothing serves `{}`", call.subject());
                    return Err(Failure::NotDone(Error::Unavailable { why }));
                }
                // Who has it may be on the way back.
                Attempt::NoResponders => true,
                Attempt::NotSent => false,
                Attempt::Lost | Attempt::Ended => {
                    sent = true;
                    matches!(last, Attempt::Ended)
                }
            };
            if refuses {
                refused += 1;
                let pause = self.shared.nats.link().pause(refused).min(self.attempt);
                sleep(pause.min(call.deadline.saturating_duration_since(Instant::now()))).await;
            }
            if !self.is_connected(call.deadline).await.map_err(|error| Failure::after(sent, error))? {
                let why = "no connection to NATS; it is being made again".into();
                return Err(match sent {
                    true => Failure::Unknown(call.timed_out()),
                    false => Failure::NotDone(Error::Unavailable { why }),
                });
            }
            if Instant::now() >= call.deadline {
                return Err(Failure::after(sent, call.timed_out()));
            }
            let headers = call.headers().map_err(|error| Failure::after(sent, error))?;
            last = self.attempt(call, headers).await;
        }
    }

    /// Waits until there is a connection, and says whether there is one by then.
    async fn is_connected(&self, deadline: Instant) -> Result<bool> {
        if self.shared.nats.connection().is_up() {
            return Ok(true);
        }
        let mut connects = self.shared.nats.link().watch();
        loop {
            self.shared.nats.link().check()?;
            if self.shared.nats.connection().is_up() {
                return Ok(true);
            }
            // The state may move a moment before it is told.
            let told = timeout_at(deadline.min(Instant::now() + Duration::from_millis(50)), connects.changed()).await;
            if told.is_err() && Instant::now() >= deadline {
                return Ok(false);
            }
        }
    }
}

impl Transport for NatsTransport {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response>> {
        match self.prepare(request) {
            Ok((call, headers)) => self.shared.calls.run(self.clone().send(call, headers)),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }
}

impl fmt::Debug for NatsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsTransport")
            .field("nats", &self.shared.nats)
            .field("attempt", &self.attempt)
            .field("overall", &self.overall)
            .finish()
    }
}

/// A call as it is sent, the same each time.
struct Call {
    /// Without its body.
    request: Request,
    body: Bytes,
    after: Duration,
    deadline: Instant,
}

impl Call {
    fn subject(&self) -> String {
        let Request { service, method, metadata, .. } = &self.request;
        subject::of(metadata.tenant.as_ref(), service, method)
    }

    fn headers(&self) -> Result<HeaderMap> {
        let Request { message_type, command_id, metadata, .. } = &self.request;
        headers::write(message_type, command_id.as_ref(), metadata)
    }

    /// Its bytes on the wire, without the subject's.
    fn size(&self) -> Result<usize> {
        let headers = self.headers()?;
        let headers = headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        let headers = headers.map(|(name, value)| headers::text(name).len() + value.as_str().len() + ": \r\n".len());
        Ok(self.body.len() + headers.sum::<usize>() + "NATS/1.0\r\n\r\n".len())
    }

    /// What the body of its answer says.
    fn read(&self, body: &[u8]) -> Result<Response> {
        let Request { service, method, command_id, .. } = &self.request;
        answer::read(body, || format!("{service}.{method}"), command_id.as_ref())
    }

    fn timed_out(&self) -> Error {
        Error::Timeout { after: self.after }
    }
}

/// What has become of sending a call once.
enum Attempt {
    /// There is an answer.
    Answered(Result<Response>),
    /// It was not carried out, and is not going to be.
    Failed(Error),
    /// It may have been carried out, and no answer is going to reach us.
    Unanswered(Error),
    /// Nothing serves it at the moment.
    NoResponders,
    /// There was no connection to send it over.
    NotSent,
    /// It may have been carried out, and its answer did not come.
    Lost,
    /// The same, because the connection has ended for good: another is being made.
    Ended,
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
