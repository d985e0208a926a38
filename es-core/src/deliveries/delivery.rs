//! One command on its way: sent, answered, settled; or put off.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{sleep, timeout};

use super::Deliveries;
use crate::{
    AppError, CommandId, Error, Response, Result, ScheduledCommand, Tenant, Timestamp,
    backoff::Backoff,
    guard::{guard, guard_call},
};

/// How long a command is leased at a time; while it is being sent, the lease is renewed.
pub(super) const LEASE: Duration = Duration::from_secs(10);
/// Before a command is sent again; a lease may last as long.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(30) };
/// What is remembered of commands at most.
const MOST: usize = 4_096;

/// What is known of commands that could not be delivered. Forgotten, it costs a shorter pause or a line in the log.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// How often each was sent in vain.
    failures: HashMap<(Option<Tenant>, CommandId), u32>,
    /// Errors of commands that can't be read, as they were logged.
    unreadable: HashSet<String>,
}

impl Deliveries {
    /// The commands that can be read; the others are logged, each once.
    pub(super) fn readable(&self, due: Vec<Result<ScheduledCommand>>) -> Vec<ScheduledCommand> {
        let log = |error: Error| {
            let unreadable = &mut self.known().unreadable;
            if unreadable.len() < MOST && unreadable.insert(error.to_string()) {
                tracing::error!(%error, "a scheduled command can't be read and is not sent");
            }
        };
        due.into_iter().filter_map(|command| command.map_err(log).ok()).collect()
    }

    /// Sends a command that is leased until then. Says whether it was answered and is done with.
    pub(super) async fn deliver(self, command: ScheduledCommand, mut until: Timestamp) -> bool {
        match self.send(&command, &mut until).await.map_err(AppError::from) {
            Ok(_) => {}
            Err(refusal) if refusal.is_final() => self.tell_rejected(&command, &refusal),
            Err(failure) => {
                self.put_off(&command, until, &failure).await;
                return false;
            }
        }
        self.known().failures.remove(&name(&command));
        match self.store.settle(&command).await {
            Ok(_) => true,
            Err(error) => {
                let (key, id) = (command.key(), command.command_id());
                tracing::warn!(%key, %id, %error, "a delivered command could not be settled; it is sent again");
                false
            }
        }
    }

    async fn send(&self, command: &ScheduledCommand, until: &mut Timestamp) -> Result<Response> {
        let answer = guard(async { self.transport.call(command.request().clone()).await });
        let mut answer = pin!(timeout(self.timeout, answer));
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer.map_err(|_| Error::Timeout { after: self.timeout })??,
                () = sleep(LEASE / 2) => self.renew(command, until).await,
            }
        }
    }

    async fn renew(&self, command: &ScheduledCommand, until: &mut Timestamp) {
        let later = self.store.now().saturating_add(LEASE);
        // Without it another process may send the command as well, which does no harm.
        if let Ok(true) = self.store.lease(command, *until, later).await {
            *until = later;
        }
    }

    fn tell_rejected(&self, command: &ScheduledCommand, refusal: &AppError) {
        let (key, id, due, request) = (command.key(), command.command_id(), command.due(), command.request());
        let (service, method) = (&request.service, &request.method);
        tracing::warn!(%key, %id, %due, %service, %method, %refusal, "a scheduled command was refused");
        if let Some(call) = &self.on_rejected {
            // A panic is logged where it is caught.
            let _ = guard_call(|| "on_rejected of scheduled commands".into(), || call(command, refusal));
        }
    }

    /// Leases the command a little longer: it is due again when that ends.
    async fn put_off(&self, command: &ScheduledCommand, until: Timestamp, failure: &AppError) {
        let attempts = self.count_failure(command);
        let pause = BACKOFF.pause(attempts);
        let (key, id, request) = (command.key(), command.command_id(), command.request());
        let (service, method) = (&request.service, &request.method);
        let error = failure.origin().map_or_else(|| failure.to_string(), ToString::to_string);
        tracing::warn!(
            %key, %id, %service, %method, error, attempts, ?pause,
            "a scheduled command was not answered; it is sent again"
        );
        if let Err(error) = self.store.lease(command, until, self.store.now().saturating_add(pause)).await {
            tracing::warn!(%key, %id, %error, "a scheduled command could not be put off; its lease ends by itself");
        }
    }

    fn count_failure(&self, command: &ScheduledCommand) -> u32 {
        let failures = &mut self.known().failures;
        if failures.len() >= MOST {
            failures.clear();
        }
        let attempts = failures.entry(name(command)).or_default();
        *attempts = attempts.saturating_add(1);
        *attempts
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(command: &ScheduledCommand) -> (Option<Tenant>, CommandId) {
    (command.tenant().cloned(), command.command_id().clone())
}
