//! The way of one command through a generated server.

use std::time::Duration;

use prost::Message;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    Aggregate, AggregateId, Answer, AppError, Appended, Applier, CommandContext, CommandId, CommandRecord, Commit,
    Error, Metadata, MethodInfo, Outcome, PayloadHash, Receipt, Repository, Request, Response, Result, Root, StreamKey,
    context::Work,
    decision::Decision,
    receive,
    root::AnyRoot,
    unit_of_work::{is_creation_conflict, store_roots},
    wire,
};

/// How far ahead of the store's the clock may be by which a command id was made.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60 * 60);

/// Which aggregate a command is for.
#[derive(Debug)]
pub enum Target<C> {
    /// The one its id field names.
    Existing(fn(&C) -> &str),
    /// A new one, under the id its id field gives.
    Create(fn(&C) -> &str),
    /// A new one, under an id made from the command's id, so that a repeated command makes the same.
    Mint,
}

/// One command on its way through a server: decoded, looked up, decided, stored, and decided again on a conflict.
#[derive(Debug)]
pub struct CommandCall<'r, A: Aggregate, C> {
    repository: &'r Repository<A>,
    method: &'static MethodInfo,
    command: C,
    command_id: Option<CommandId>,
    hash: PayloadHash,
    metadata: Metadata,
    decision: Decision<'r, A>,
}

impl<'r, A: Applier, C: Message + Default + Clone> CommandCall<'r, A, C> {
    /// Takes a command in: checks its type and size, decodes it, finds its aggregate.
    ///
    /// # Errors
    /// [`InvalidRequest`](Error::InvalidRequest), [`TooLarge`](Error::TooLarge), or a bad id.
    pub fn receive(
        repository: &'r Repository<A>,
        request: Request,
        method: &'static MethodInfo,
        target: Target<C>,
    ) -> Result<Self> {
        let limits = repository.store().limits();
        limits.check_command(request.body.len())?;
        let command: C = receive::message(&request, method, limits)?;
        let mut metadata = request.metadata;
        metadata.tenant = metadata.tenant.or_else(|| repository.default_tenant().cloned());
        let (id, creates) = match target {
            Target::Existing(id) => (AggregateId::new(id(&command))?, false),
            Target::Create(id) => (AggregateId::new(id(&command))?, true),
            Target::Mint => (mint(&metadata, method, request.command_id.as_ref())?, true),
        };
        limits.check_id("aggregate id", id.as_str())?;
        if let Some(id) = &request.command_id {
            limits.check_id("command id", id.as_str())?;
        }
        Ok(Self {
            repository,
            method,
            // Only a command with an id is ever compared with an earlier one.
            hash: if request.command_id.is_some() { hash(method, &command) } else { PayloadHash::default() },
            command,
            command_id: request.command_id,
            decision: Decision::new(repository, StreamKey::new(metadata.tenant.clone(), A::TYPE, id), creates),
            metadata,
        })
    }

    /// Gets the aggregate for a decision, when no other command of this program works on it.
    ///
    /// # Errors
    /// As [`Repository::load`], and [`CommandExpired`](Error::CommandExpired) for a command whose answer may be forgotten;
    /// [`recorded_or`](Self::recorded_or) tells whether it is.
    pub async fn begin(&mut self) -> Result<(Root<A>, CommandContext)> {
        self.check_expiry()?;
        let root = self.decision.begin().await?;
        let context = CommandContext::new(
            self.repository.store().clone(),
            self.decision.stream().clone(),
            self.command_id.clone(),
            self.metadata.clone(),
            self.repository.snapshot_policy(),
        );
        Ok((root, context))
    }

    /// Refuses a command that was made so long ago that its answer, if it had one, may be forgotten.
    fn check_expiry(&self) -> Result<()> {
        let Some(id) = &self.command_id else { return Ok(()) };
        let answers_since = || self.repository.store().answers_since().saturating_add(CLOCKS_DIFFER);
        match id.made_at() {
            Some(made) if made < answers_since() => Err(Error::CommandExpired { command_id: id.clone() }),
            _ => Ok(()),
        }
    }

    /// The command, for the handler.
    pub fn command(&self) -> C {
        self.command.clone()
    }

    /// Stores what was decided. `None` means that someone else wrote first: begin again.
    ///
    /// # Errors
    /// [`Rejected`](Error::Rejected) with the handler's refusal, [`HandlerPanicked`](Error::HandlerPanicked), or why it
    /// could not be stored.
    pub async fn commit<R: Message>(
        &mut self,
        root: Root<A>,
        context: CommandContext,
        decided: Result<Result<R, AppError>>,
    ) -> Result<Option<Response>> {
        let answered = match receive::name_panic(decided, self.method) {
            Ok(Ok(response)) => self.store(root, context, response.encode_to_vec()).await,
            Ok(Err(refusal)) => match refusal.origin() {
                // A conflict may pass through a handler that works on repositories of its own.
                Some(_) => Err(refusal.into_error()),
                None => self.refuse(refusal, root).await,
            },
            Err(panicked) => Err(panicked),
        };
        match answered {
            Ok(response) => Ok(Some(response)),
            Err(error) => match self.decision.again_after(error).await {
                Ok(()) => Ok(None),
                Err(error) => self.recorded_or(error).await.map(Some),
            },
        }
    }

    /// The answer this command was given before, under the same id; this error, when there is none.
    ///
    /// A command that was answered before is found when what it decides now is to be stored, so that the many that
    /// were not need no look-up of their own. Whatever ends one without storing anything ends here.
    ///
    /// # Errors
    /// The error, or [`Rejected`](Error::Rejected) when the recorded answer was a refusal, or
    /// [`CommandIdReused`](Error::CommandIdReused) when it was another command's.
    pub async fn recorded_or(&self, error: Error) -> Result<Response> {
        let stored = matches!(&error, Error::Rejected(refusal) if refusal.is_recorded());
        let Some(id) = self.command_id.as_ref().filter(|_| !stored) else { return Err(error) };
        match self.repository.store().outcome(self.metadata.tenant.as_ref(), id).await {
            Ok(Some(outcome)) if outcome.record.payload_hash == self.hash => self.replay(outcome),
            Ok(Some(_)) => Err(Error::CommandIdReused { command_id: id.clone() }),
            // Not expired for good, as long as nobody knows.
            Err(unread) if matches!(error, Error::CommandExpired { .. }) => Err(unread),
            Ok(None) | Err(_) => Err(error),
        }
    }

    /// Stores what the handler accepted.
    async fn store(&mut self, root: Root<A>, context: CommandContext, data: Vec<u8>) -> Result<Response> {
        let snapshots = context.snapshots;
        let Work { enlisted, schedule } = context.into_work()?;
        let mut roots: Vec<&dyn AnyRoot> = vec![&root];
        roots.extend(enlisted.iter().map(|root| &**root));
        let mut commit = Commit::new(self.metadata.clone());
        commit.command = self.record(root.version(), || Answer::Accepted(data.clone()));
        commit.schedule = schedule;
        if commit.command.is_none() && commit.schedule.is_empty() && !roots.iter().any(|root| root.has_emitted()) {
            self.decision.check(&root).await?;
        }
        let store = self.repository.store();
        match store_roots(&**store, &roots, commit, snapshots).await {
            Ok(Appended::Replayed(outcome)) => self.replay(*outcome),
            Ok(Appended::Committed(committed)) => {
                let receipt = root.receipt(committed.position);
                self.decision.keep(root);
                Ok(Response::new(self.method.output, data, Some(receipt)))
            }
            Err(error) if root.is_creation() && is_creation_conflict(&error, self.decision.stream()) => {
                let refusal = AppError::already_exists("ALREADY_EXISTS", format!("{} already exists", root.stream()));
                self.refuse(refusal, root).await
            }
            Err(error) => Err(error),
        }
    }

    /// Records a refusal under the command's id, where it is the domain's, and answers it.
    async fn refuse(&mut self, refusal: AppError, root: Root<A>) -> Result<Response> {
        let answer = || Answer::Rejected(wire::AppError::from(&refusal).encode_to_vec());
        let record = if refusal.is_recorded() { self.record(root.committed_version(), answer) } else { None };
        match record {
            Some(record) => {
                let mut commit = Commit::new(self.metadata.clone()).command(record);
                if !root.is_creation() {
                    commit.streams.push(root.to_check());
                }
                if let Appended::Replayed(outcome) = self.repository.store().append(commit).await? {
                    return self.replay(*outcome);
                }
            }
            None => self.decision.check(&root).await?,
        }
        if !root.is_creation() && root.emitted().is_empty() {
            self.decision.keep(root);
        }
        Err(Error::Rejected(refusal))
    }

    /// What is recorded of the command, if it has an id.
    fn record(&self, version: u64, answer: impl FnOnce() -> Answer) -> Option<CommandRecord> {
        let (id, stream) = (self.command_id.clone()?, self.decision.stream().clone());
        Some(CommandRecord { id, payload_hash: self.hash, answer: answer(), stream, version })
    }

    fn replay(&self, outcome: Outcome) -> Result<Response> {
        let Outcome { record, position, .. } = outcome;
        match record.answer {
            Answer::Accepted(data) => {
                let receipt = Receipt { stream: record.stream, version: record.version, position, replayed: true };
                Ok(Response::new(self.method.output, data, Some(receipt)))
            }
            Answer::Rejected(error) => Err(Error::Rejected(receive::refusal(&error)?)),
        }
    }
}

/// SHA-256 over the method and the command as this program encodes it, so that two encodings of one command are one.
fn hash(method: &MethodInfo, command: &impl Message) -> PayloadHash {
    let mut hasher = Sha256::new();
    hasher.update(method.route());
    hasher.update([0]);
    hasher.update(command.encode_to_vec());
    hasher.finalize().into()
}

/// The id of a new aggregate: from the command's id, so that a repeated command makes the same; random without one.
fn mint(metadata: &Metadata, method: &MethodInfo, command: Option<&CommandId>) -> Result<AggregateId> {
    let id = match command {
        Some(command) => {
            let tenant = metadata.tenant.as_ref().map_or("", |tenant| tenant.as_str());
            Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{tenant}\0{}\0{command}", method.route()).as_bytes())
        }
        None => Uuid::now_v7(),
    };
    AggregateId::new(id.to_string())
}
