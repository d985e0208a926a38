//! One event through a reactor's hooks, and what an error of theirs means.

use std::{error::Error as StdError, fmt, sync::Arc};

use uuid::Uuid;

use super::{Commands, Rejection, commands::refused};
use crate::{
    AppError, Error, EventMeta, HookResult, RecordedEvent, Result, Retry, Transport,
    error::Source,
    guard::{guard, guard_call},
    handling::{Failure, Handler, Hooks, run},
    store::BoxFuture,
};

pub(super) type OnRejected = Box<dyn Fn(Rejection, EventMeta) -> BoxFuture<'static, HookResult> + Send + Sync>;

/// The hooks of a reactor, and where their commands go.
pub(crate) struct Reacting {
    pub(super) name: Arc<str>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) hooks: Hooks<Commands>,
    pub(super) on_rejected: Option<OnRejected>,
}

impl Handler for Reacting {
    const PAGE: usize = 64;
    const NOTES: bool = true;

    fn handle<'a>(&'a self, event: &'a RecordedEvent, store: Uuid) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let commands = Commands::new(&self.name, store, self.transport.clone(), &event.meta)
                .map_err(|error| Failure::Hook(error.into()))?;
            for hook in self.hooks.of(event) {
                if let Err(source) = run(hook, commands.clone(), event).await {
                    self.failed(source, &commands, event).await?;
                }
            }
            Ok(())
        })
    }
}

impl Reacting {
    /// Whether a hook that failed has failed.
    async fn failed(&self, source: Source, commands: &Commands, event: &RecordedEvent) -> Result<(), Failure> {
        if let Some(rejection) = refusal(&*source).and_then(|refusal| commands.rejection(&refusal)) {
            return match &self.on_rejected {
                Some(on_rejected) => self.rejected(on_rejected, rejection, event).await.map_err(Failure::Hook),
                // The domain would refuse it again.
                None => Err(Failure::Settled(source)),
            };
        }
        let passing = |error: &Error| error.retry() != Retry::Never;
        match source.downcast::<Error>() {
            Ok(error) if passing(&error) => Err(Failure::Passing(*error)),
            Ok(error) => Err(Failure::Hook(error)),
            Err(source) if causes(&*source).filter_map(|cause| cause.downcast_ref()).any(passing) => {
                let why = format!("a hook of `{}` at position {}: {source}", self.name, event.meta.position);
                Err(Failure::Passing(Error::Unavailable { why }))
            }
            Err(source) => Err(Failure::Hook(source)),
        }
    }

    async fn rejected(&self, on_rejected: &OnRejected, rejection: Rejection, event: &RecordedEvent) -> HookResult {
        let what = || format!("on_rejected of `{}`", self.name);
        let running = guard_call(what, || on_rejected(rejection, event.meta.clone()))?;
        guard(running).await.map_err(|_| Error::HandlerPanicked { what: what() })?
    }
}

/// The refusal of the domain that is an error's cause, or the error itself.
fn refusal(error: &(dyn StdError + 'static)) -> Option<AppError> {
    causes(error).find_map(|cause| match cause.downcast_ref::<AppError>() {
        Some(refusal) => Some(refusal.clone()).filter(AppError::is_recorded),
        None => cause.downcast_ref().and_then(refused),
    })
}

/// An error and what caused it.
fn causes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

impl fmt::Debug for Reacting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reacting")
            .field("transport", &self.transport)
            .field("hooks", &self.hooks)
            .finish_non_exhaustive()
    }
}
