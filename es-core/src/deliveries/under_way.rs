//! The commands that are being sent.

use std::collections::HashMap;

use tokio::task::{Id, JoinSet};

use super::Deliveries;
use crate::{CommandId, ScheduledCommand, Tenant, Timestamp};

/// Commands that are being sent, each in a task of its own. Dropping it breaks them off.
#[derive(Default)]
pub(super) struct UnderWay {
    tasks: JoinSet<bool>,
    commands: HashMap<Id, (Option<Tenant>, CommandId)>,
}

impl UnderWay {
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn has(&self, command: &ScheduledCommand) -> bool {
        self.commands.values().any(|(tenant, id)| tenant.as_ref() == command.tenant() && id == command.command_id())
    }

    pub(super) fn start(&mut self, deliveries: Deliveries, command: ScheduledCommand, until: Timestamp) {
        let name = (command.tenant().cloned(), command.command_id().clone());
        let task = self.tasks.spawn(deliveries.deliver(command, until));
        self.commands.insert(task.id(), name);
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
