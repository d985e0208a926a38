//! A transport that notes what is sent over it.

use std::{
    collections::HashMap,
    fmt,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prost::Message;

use crate::{
    AggregateId, AppError, CommandId, Error, Receipt, Request, Response, Result, StreamKey, Transport, store::BoxFuture,
};

/// A transport for tests: it notes every request, and answers by itself or has a real service answer. Clones share what
/// was noted.
///
/// ```
/// # use es_core::{AppError, LocalBus, testing::Sent};
/// # fn example(bus: LocalBus) {
/// let sent = Sent::accepting(); // every call is answered with an empty response
/// let sent = Sent::accepting().refusing("Deposit", AppError::failed_precondition("CLOSED", "the account is closed"));
/// let sent = Sent::over(bus.transport()); // the services on the bus answer
/// # let _ = sent; }
/// ```
#[derive(Clone, Default)]
pub struct Sent {
    requests: Arc<Mutex<Vec<Request>>>,
    canned: Arc<HashMap<String, Canned>>,
    over: Option<Arc<dyn Transport>>,
}

/// An answer that is known before: an encoded message, or a refusal.
type Canned = std::result::Result<Vec<u8>, AppError>;

impl Sent {
    /// Answers every call with an empty response.
    pub fn accepting() -> Self {
        Self::default()
    }

    /// Passes every call on to a real service: on a [`LocalBus`](crate::LocalBus), for example.
    pub fn over(transport: impl Transport) -> Self {
        Self { over: Some(Arc::new(transport)), ..Self::default() }
    }

    /// Answers calls of methods of this name with this message.
    #[must_use]
    pub fn answering(self, method: &str, message: &impl Message) -> Self {
        self.answer(method, Ok(message.encode_to_vec()))
    }

    /// Refuses calls of methods of this name.
    #[must_use]
    pub fn refusing(self, method: &str, refusal: AppError) -> Self {
        self.answer(method, Err(refusal))
    }

    fn answer(mut self, method: &str, answer: Canned) -> Self {
        let mut canned = (*self.canned).clone();
        canned.insert(method.to_owned(), answer);
        self.canned = Arc::new(canned);
        self
    }

    /// Every request, in the order they were sent.
    pub fn requests(&self) -> Vec<SentRequest> {
        self.noted().iter().cloned().map(SentRequest).collect()
    }

    /// The commands, in the order they were sent. One that was sent several times under its id is one command.
    pub fn commands(&self) -> Vec<SentRequest> {
        once_each(self.requests())
    }

    fn noted(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The commands among requests, each once.
pub(super) fn once_each(requests: impl IntoIterator<Item = SentRequest>) -> Vec<SentRequest> {
    let mut commands: Vec<SentRequest> = Vec::new();
    for request in requests {
        let again = |other: &SentRequest| request.command_id.is_some() && request.command_id == other.command_id;
        if !request.query && !commands.iter().any(again) {
            commands.push(request);
        }
    }
    commands
}

impl Transport for Sent {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response>> {
        // When it is called and not when the future runs, so that the order of the calls is kept.
        self.noted().push(request.clone());
        Box::pin(async move {
            match (self.canned.get(&*request.method), &self.over) {
                (Some(Err(refusal)), _) => Err(Error::Rejected(refusal.clone())),
                (Some(Ok(message)), _) => accepted(&request, message.clone()),
                (None, Some(over)) => over.call(request).await,
                (None, None) => accepted(&request, Vec::new()),
            }
        })
    }
}

fn accepted(request: &Request, message: Vec<u8>) -> Result<Response> {
    let stream = StreamKey::new(request.metadata.tenant.clone(), &*request.service, AggregateId::new("canned")?);
    let receipt = Receipt { stream, version: 1, position: 0, replayed: false };
    Ok(Response::new("", message, (!request.query).then_some(receipt)))
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent").field("requests", &self.noted()).field("over", &self.over).finish_non_exhaustive()
    }
}

/// A request that was sent. Reads like the [`Request`] itself.
#[derive(Clone, Debug, PartialEq)]
pub struct SentRequest(Request);

impl SentRequest {
    /// `bank.v1.AccountCommandService.Deposit`
    pub fn route(&self) -> String {
        format!("{}.{}", self.0.service, self.0.method)
    }

    /// The message.
    ///
    /// # Panics
    /// When it is another one.
    #[track_caller]
    pub fn decode<M: Message + Default>(&self) -> M {
        M::decode(&*self.0.body).unwrap_or_else(|error| panic!("the message of {}: {error}", self.route()))
    }

    /// The id of the command.
    ///
    /// # Panics
    /// When it has none: it is a query, or was not sent over a reactor's [`Commands`](crate::Commands).
    #[track_caller]
    pub fn id(&self) -> &CommandId {
        self.0.command_id.as_ref().unwrap_or_else(|| panic!("{} was sent without a command id", self.route()))
    }
}

impl From<Request> for SentRequest {
    fn from(request: Request) -> Self {
        Self(request)
    }
}

impl Deref for SentRequest {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.0
    }
}
