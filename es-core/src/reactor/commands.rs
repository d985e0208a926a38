//! The transport a reactor's hook sends over: every command gets the same id each time its event is handled.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    AppError, CommandId, Error, EventMeta, Metadata, Request, Response, Result, Tenant, Transport, store::BoxFuture,
};

/// Sends commands in consequence of one event. Give it to a generated client:
/// `PaymentCommandServiceClient::new(commands)`.
///
/// A command without an id of its own gets one that is the same each time this event is handled; the n-th of several
/// identical ones has an id of its own. What the call leaves open comes from the event: tenant, correlation, principal
/// and trace; its causation is `event {position}`. Queries get no id.
#[derive(Clone)]
pub struct Commands(Arc<Caused>);

struct Caused {
    transport: Arc<dyn Transport>,
    /// What all ids of this event's commands are made from.
    seed: String,
    defaults: Metadata,
    position: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How often the same was sent.
    sent: HashMap<(String, Option<Tenant>, [u8; 32]), u64>,
    rejections: Vec<Rejection>,
}

/// A command that the domain has refused.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Rejection {
    /// The refusal.
    pub error: AppError,
    /// The method: `bank.v1.AccountCommandService.Deposit`.
    pub route: String,
    /// The id the command had.
    pub command_id: CommandId,
    /// The position of the event that caused the command.
    pub position: u64,
}

impl Commands {
    pub(super) fn new(reactor: &str, store: Uuid, transport: Arc<dyn Transport>, meta: &EventMeta) -> Result<Self> {
        let origin = meta.origin()?;
        let position = meta.position;
        let defaults = Metadata {
            tenant: meta.stream.tenant.clone(),
            correlation_id: origin.correlation_id.clone().or_else(|| origin.command_id.clone()),
            causation_id: Some(format!("event {position}")),
            principal_id: origin.principal_id.clone(),
            traceparent: origin.traceparent.clone(),
            ..Metadata::default()
        };
        // After a restore the same position may be of another event; its time tells them apart.
        let seed = format!("{reactor}\0{store}\0{position}\0{}", meta.recorded_at.as_micros());
        Ok(Self(Arc::new(Caused { transport, seed, defaults, position, state: Mutex::default() })))
    }

    /// What was refused so far, if it was with this error: the last one.
    pub(super) fn rejection(&self, error: &AppError) -> Option<Rejection> {
        self.state().rejections.iter().rev().find(|rejection| rejection.error == *error).cloned()
    }

    /// The id of a command: the same for the n-th like it, each time the event is handled.
    fn id(&self, request: &Request, route: &str) -> Result<CommandId> {
        let body: [u8; 32] = Sha256::digest(&request.body).into();
        let like = (route.to_owned(), request.metadata.tenant.clone(), body);
        let mut state = self.state();
        let number = state.sent.entry(like).or_default();
        *number += 1;
        let mut name = format!("{}\0{route}\0{number}\0", self.0.seed).into_bytes();
        name.extend_from_slice(&body);
        CommandId::new(Uuid::new_v5(&Uuid::NAMESPACE_OID, &name).to_string())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Commands {
    fn call(&self, mut request: Request) -> BoxFuture<'_, Result<Response>> {
        request.metadata = request.metadata.or(&self.0.defaults);
        if request.query {
            return self.0.transport.call(request);
        }
        let route = format!("{}.{}", request.service, request.method);
        // Counted now and not when the future runs, so that the order of the calls decides.
        let id = match &request.command_id {
            Some(id) => Ok(id.clone()),
            None => self.id(&request, &route),
        };
        Box::pin(async move {
            let command_id = id?;
            request.command_id = Some(command_id.clone());
            let answer = self.0.transport.call(request).await;
            if let Some(error) = answer.as_ref().err().and_then(refused) {
                let position = self.0.position;
                self.state().rejections.push(Rejection { error, route, command_id, position });
            }
            answer
        })
    }
}

/// The refusal of the domain that an error is, whichever way it came: of a key that is taken, only a remote caller gets
/// an answer.
pub(super) fn refused(error: &Error) -> Option<AppError> {
    let refusal = match error {
        Error::Rejected(refusal) => refusal.clone(),
        Error::UniqueTaken { .. } => AppError::already_exists("UNIQUE_TAKEN", error.to_string()),
        _ => return None,
    };
    Some(refusal).filter(AppError::is_recorded)
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands")
            .field("position", &self.0.position)
            .field("transport", &self.0.transport)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AggregateId, LocalBus, StreamKey};

    #[test]
    fn the_id_of_a_command_stays_the_same_from_version_to_version() {
        let stream = StreamKey::new(None, "bank.v1.Account", AggregateId::new("a").unwrap());
        let meta = EventMeta::new(Arc::new(stream), 1, 17, "bank.v1.Opened".into());
        let commands = || Commands::new("bonus", Uuid::nil(), Arc::new(LocalBus::new().transport()), &meta).unwrap();
        let request = Request::new("bank.v1.AccountService", "Decide", b"100");
        let id = |commands: &Commands| commands.id(&request, "bank.v1.AccountService.Decide").unwrap().to_string();
        let first = commands();
        let ids = [id(&first), id(&first)];
        assert_eq!(ids, ["ef6c5b40-ec78-52e1-87aa-87d883495a5c", "9b8df324-ff88-5bdd-a721-12e964a535ad"]);
        assert_eq!(id(&commands()), ids[0]);
    }
}
