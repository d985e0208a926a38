//! The commands that are being sent.

use std::{collections::HashMap, time::Duration};

use tokio::{
    task::{Id, JoinSet},
    time::Instant,
};

use super::Deliveries;
use crate::{CommandId, ScheduledCommand, Tenant, Timestamp};

/// Commands under way at once, as long as they are answered promptly.
const AT_ONCE: usize = 16;
/// What a prompt answer takes at most.
pub(super) const PROMPT: Duration = Duration::from_secs(1);
/// Commands under way at once, with those that are not answered promptly.
const ALTOGETHER: usize = 256;

/// Commands that are being sent, each in a task of its own. Dropping it breaks them off.
#[derive(Default)]
pub(super) struct UnderWay {
    tasks: JoinSet<bool>,
    commands: HashMap<Id, Sent>,
}

struct Sent {
    tenant: Option<Tenant>,
    id: CommandId,
    since: Instant,
}

impl UnderWay {
    /// For how many more there is room. One that is not answered soon makes room for another, up to a limit: a service
    /// that hangs does not keep others from being served.
    pub(super) fn room(&self) -> usize {
        let prompt = self.commands.values().filter(|sent| sent.since.elapsed() < PROMPT).count();
        AT_ONCE.saturating_sub(prompt).min(ALTOGETHER.saturating_sub(self.commands.len()))
    }

    pub(super) fn has(&self, command: &ScheduledCommand) -> bool {
        self.commands.values().any(|sent| sent.tenant.as_ref() == command.tenant() && sent.id == *command.command_id())
    }

    pub(super) fn start(&mut self, deliveries: Deliveries, command: ScheduledCommand, until: Timestamp) {
        let (tenant, id) = (command.tenant().cloned(), command.command_id().clone());
        let task = self.tasks.spawn(deliveries.deliver(command, until));
        self.commands.insert(task.id(), Sent { tenant, id, since: Instant::now() });
    }

    /// Waits for one to end, and says whether it was answered; `None` when there is none.
    pub(super) async fn next(&mut self) -> Option<bool> {
        let (task, answered) = match self.tasks.join_next_with_id().await? {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a delivery ended early; its command is sent again");
                (error.id(), false)
            }
        };
        self.commands.remove(&task);
        Some(answered)
    }

    /// As [`next`](Self::next), waiting on when there is none.
    pub(super) async fn next_or_never(&mut self) -> bool {
        match self.next().await {
            Some(answered) => answered,
            None => std::future::pending().await,
        }
    }
}
