//! Scheduled commands of a memory store.

use std::collections::BTreeMap;

use crate::{ScheduleChange, ScheduledCommand, Tenant, Timestamp};

/// By tenant and key, each with the end of its lease, if it was ever leased.
#[derive(Debug, Default)]
pub(super) struct Scheduled(BTreeMap<(Option<Tenant>, String), (ScheduledCommand, Option<Timestamp>)>);

impl Scheduled {
    pub(super) fn change(&mut self, tenant: Option<&Tenant>, change: &ScheduleChange) {
        let key = (tenant.cloned(), change.key().to_string());
        match change {
            ScheduleChange::Send(command) => drop(self.0.insert(key, (*command.clone(), None))),
            ScheduleChange::Cancel(_) => drop(self.0.remove(&key)),
        }
    }

    pub(super) fn get(&self, tenant: Option<&Tenant>, key: &str) -> Option<ScheduledCommand> {
        self.0.get(&(tenant.cloned(), key.to_owned())).map(|(command, _)| command.clone())
    }

    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Vec<ScheduledCommand> {
        let free =
            |(command, leased): &&(ScheduledCommand, Option<Timestamp>)| command.due() <= now && is_free(*leased, now);
        let mut due: Vec<_> = self.0.values().filter(free).collect();
        // None before some, and stable: those due at the same time stay in the order of tenant and key.
        due.sort_by_key(|(command, leased)| (*leased, command.due()));
        due.into_iter().take(limit).map(|(command, _)| command.clone()).collect()
    }

    pub(super) fn next_due(&self, after: Timestamp) -> Option<Timestamp> {
        self.0.values().map(|(command, _)| command.due()).filter(|due| *due > after).min()
    }

    pub(super) fn lease(&mut self, command: &ScheduledCommand, ended: Timestamp, until: Timestamp) -> bool {
        match self.same(command) {
            Some((_, leased)) if is_free(*leased, ended) => {
                *leased = Some(until);
                true
            }
            _ => false,
        }
    }

    pub(super) fn settle(&mut self, command: &ScheduledCommand) -> bool {
        self.same(command).is_some() && self.0.remove(&key(command)).is_some()
    }

    /// The entry of a command, unless another one has taken its key.
    fn same(&mut self, command: &ScheduledCommand) -> Option<&mut (ScheduledCommand, Option<Timestamp>)> {
        self.0.get_mut(&key(command)).filter(|(kept, _)| kept.command_id() == command.command_id())
    }
}

fn key(command: &ScheduledCommand) -> (Option<Tenant>, String) {
    (command.tenant().cloned(), command.key().to_string())
}

fn is_free(leased: Option<Timestamp>, now: Timestamp) -> bool {
    leased.is_none_or(|until| until <= now || until > now.saturating_add(ScheduledCommand::LONGEST_LEASE))
}
