//! Where the tasks of one subscriber note what they do, and read what they are to do.

use std::{sync::Arc, time::Instant};

use tokio::sync::watch;

use super::{
    rate::Rate,
    status::{State, Status},
};
use crate::{Error, EventLog, Progress, Rebuilding, Timestamp};

/// What all tasks of one subscriber share.
#[derive(Debug)]
pub(super) struct Board {
    notes: watch::Sender<Notes>,
    control: watch::Sender<Control>,
}

/// What the tasks are to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) paused: bool,
    /// Rises when those that have stopped are to try again.
    pub(super) resumed: u64,
}

/// What the tasks do.
#[derive(Debug)]
pub(super) struct Notes {
    parts: Vec<Part>,
    rebuilding: Option<Rebuilding>,
    rate: Rate,
    /// Tasks that have not ended.
    pub(super) alive: usize,
}

/// One partition.
#[derive(Debug)]
struct Part {
    doing: Doing,
    checkpoint: u64,
    recorded_at: Option<Timestamp>,
}

/// What one task does.
#[derive(Clone, Debug)]
pub(super) enum Doing {
    Starting,
    CatchingUp,
    Live,
    Standby,
    Paused,
    Faulted(Arc<Error>),
}

impl Board {
    pub(super) fn new(partitions: u32) -> Self {
        let part = || Part { doing: Doing::Starting, checkpoint: 0, recorded_at: None };
        let parts: Vec<_> = (0..partitions.max(1)).map(|_| part()).collect();
        let alive = parts.len();
        let notes = Notes { parts, rebuilding: None, rate: Rate::default(), alive };
        Self { notes: watch::Sender::new(notes), control: watch::Sender::default() }
    }

    pub(super) fn partitions(&self) -> u32 {
        u32::try_from(self.notes.borrow().parts.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn notes(&self) -> watch::Receiver<Notes> {
        self.notes.subscribe()
    }

    pub(super) fn control(&self) -> watch::Receiver<Control> {
        self.control.subscribe()
    }

    /// A task has handled a page.
    pub(super) fn handled(&self, partition: u32, progress: Progress) {
        let doing = match progress {
            Progress { standby: true, .. } => Doing::Standby,
            Progress { caught_up: true, .. } => Doing::Live,
            _ => Doing::CatchingUp,
        };
        self.notes.send_if_modified(|notes| {
            notes.rate.count(progress.handled, Instant::now());
            let Some(part) = notes.part(partition) else { return false };
            let changed = part.checkpoint != progress.checkpoint || !part.doing.is(&doing) || progress.handled > 0;
            (part.checkpoint, part.doing) = (progress.checkpoint, doing);
            part.recorded_at = progress.recorded_at.or(part.recorded_at);
            changed
        });
    }

    /// A task does something else now; where its checkpoint was read, it is this.
    pub(super) fn doing(&self, partition: u32, doing: Doing, checkpoint: Option<u64>) {
        self.notes.send_modify(|notes| {
            if let Some(part) = notes.part(partition) {
                // A pause does not hide why it had stopped before.
                if !matches!((&part.doing, &doing), (Doing::Faulted(_), Doing::Paused)) {
                    part.doing = doing;
                }
                part.checkpoint = checkpoint.unwrap_or(part.checkpoint);
            }
        });
    }

    /// Has the tasks that have stopped try again. Noted at once, so that nobody takes the former error for a new one.
    pub(super) fn resume(&self, paused_too: bool) {
        self.notes.send_modify(|notes| {
            for part in &mut notes.parts {
                if matches!(part.doing, Doing::Faulted(_)) || paused_too && matches!(part.doing, Doing::Paused) {
                    part.doing = Doing::CatchingUp;
                }
            }
        });
        self.control.send_modify(|control| {
            control.paused &= !paused_too;
            control.resumed += 1;
        });
    }

    pub(super) fn pause(&self) {
        self.control.send_modify(|control| control.paused = true);
    }

    /// A task ends. Whether it was the last one.
    pub(super) fn ended(&self) -> bool {
        self.notes.send_modify(|notes| notes.alive = notes.alive.saturating_sub(1));
        self.notes.borrow().alive == 0
    }

    /// Shows that a rebuild begins, unless one is under way. Whether it may begin.
    pub(super) fn begin_rebuild(&self) -> bool {
        self.notes.send_if_modified(|notes| {
            let begins = notes.rebuilding.is_none();
            notes.rebuilding.get_or_insert_default();
            begins
        })
    }

    /// Shows how far the rebuild is, or that there is none any more.
    pub(super) fn rebuilding(&self, progress: Option<Rebuilding>) {
        self.notes.send_modify(|notes| notes.rebuilding = progress);
    }
}

impl Doing {
    fn is(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Notes {
    fn part(&mut self, partition: u32) -> Option<&mut Part> {
        self.parts.get_mut(partition as usize)
    }

    /// Everything up to here is handled, whichever partition it belongs to.
    pub(super) fn checkpoint(&self) -> u64 {
        self.parts.iter().map(|part| part.checkpoint).min().unwrap_or_default()
    }

    /// The error at which a partition has stopped, unless the projection is being made again.
    pub(super) fn fault(&self) -> Option<&Arc<Error>> {
        let faults = self.parts.iter().filter_map(|part| match &part.doing {
            Doing::Faulted(error) => Some(error),
            _ => None,
        });
        faults.take(if self.rebuilding.is_some() { 0 } else { 1 }).next()
    }

    /// Whether no task handles anything.
    pub(super) fn at_rest(&self) -> bool {
        self.alive == 0 || self.parts.iter().all(|part| matches!(part.doing, Doing::Paused | Doing::Faulted(_)))
    }

    fn state(&self) -> State {
        let any = |doing: &Doing| self.parts.iter().any(|part| part.doing.is(doing));
        let all = |doing: &Doing| self.parts.iter().all(|part| part.doing.is(doing));
        match (&self.rebuilding, self.fault()) {
            (Some(progress), _) => State::Rebuilding(*progress),
            (None, Some(error)) => State::Faulted(error.clone()),
            _ if any(&Doing::Paused) => State::Paused,
            _ if any(&Doing::Starting) => State::Starting,
            _ if any(&Doing::CatchingUp) => State::CatchingUp,
            _ if all(&Doing::Standby) => State::Standby,
            _ => State::Live,
        }
    }

    /// All of it, with the log ending at this head.
    pub(super) fn status(&self, head: u64, log: &dyn EventLog) -> Status {
        let checkpoint = self.checkpoint();
        // Read at different moments, the head may be the older of the two.
        let head = head.max(checkpoint);
        let behind = self.parts.iter().filter(|part| part.checkpoint < head).min_by_key(|part| part.checkpoint);
        let lag = match behind {
            None => Some(std::time::Duration::ZERO),
            Some(part) => part.recorded_at.map(|recorded_at| log.now().since(recorded_at)),
        };
        Status {
            state: self.state(),
            checkpoint,
            head,
            lag_events: head - checkpoint,
            lag,
            rate: self.rate.per_second(Instant::now()),
        }
    }
}
