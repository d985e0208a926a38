//! One partition at work.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};

use super::board::{Board, Control, Doing};
use crate::{Error, EventLog, Progress, Retry, Subscriber, backoff::Backoff, guard::guard};

/// How often one that stands by looks where the other is: so much later a `wait_for` hears of it.
const LOOK_AGAIN: Duration = Duration::from_millis(15);

pub(super) struct Task {
    pub(super) log: Arc<dyn EventLog>,
    pub(super) subscriber: Arc<dyn Subscriber>,
    pub(super) partition: u32,
    pub(super) board: Arc<Board>,
    pub(super) head: watch::Receiver<u64>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) control: watch::Receiver<Control>,
}

/// What a task waits for before the next page, beside being told to stop or pause.
enum Next {
    Page,
    Event,
    EventOr(Duration),
    Pause(Duration),
    Resume,
}

impl Task {
    pub(super) async fn run(mut self) {
        let mut failures = 0;
        while !*self.stop.borrow() {
            let control = *self.control.borrow_and_update();
            let next = if control.paused {
                self.board.doing(self.partition, Doing::Paused, None);
                Next::Resume
            } else {
                // Marked as seen before reading, so that what is recorded meanwhile wakes us again.
                self.head.borrow_and_update();
                self.page(&mut failures).await
            };
            if self.wait(next, control).await {
                failures = 0;
            }
        }
        if self.board.ended() && guard(self.subscriber.give_back()).await.is_err() {
            tracing::error!(name = self.subscriber.name(), "giving back its lease panicked");
        }
    }

    async fn page(&self, failures: &mut u32) -> Next {
        let advancing = guard(self.subscriber.advance(&*self.log, self.partition));
        match advancing.await.and_then(|advanced| advanced) {
            Ok(progress) => {
                *failures = 0;
                self.board.handled(self.partition, progress);
                self.after(progress)
            }
            // Someone else runs the same one and was first: go on from where they are.
            Err(Error::CheckpointMoved { .. }) => {
                tokio::task::yield_now().await;
                Next::Page
            }
            Err(error) if error.retry() != Retry::Never => {
                *failures = failures.saturating_add(1);
                let pause = Backoff::SUBSCRIBER.pause(*failures);
                tracing::warn!(name = self.subscriber.name(), %error, ?pause, "a page was not handled; will try again");
                self.rest(Doing::CatchingUp).await;
                Next::Pause(pause)
            }
            Err(error) => {
                tracing::error!(name = self.subscriber.name(), %error, "stopped until it is resumed");
                self.rest(Doing::Faulted(Arc::new(error))).await;
                Next::Resume
            }
        }
    }

    fn after(&self, progress: Progress) -> Next {
        match progress {
            Progress { again_after: Some(pause), caught_up: true, .. } => Next::EventOr(pause),
            Progress { again_after: Some(pause), .. } => Next::Pause(pause),
            Progress { standby: true, checkpoint, .. } if checkpoint < *self.head.borrow() => Next::Pause(LOOK_AGAIN),
            Progress { standby: true, .. } | Progress { caught_up: true, .. } => Next::Event,
            _ => Next::Page,
        }
    }

    /// Says what it does, and where its checkpoint is: some of the last page may have been kept. One of other hooks or
    /// another log says nothing of what was handled.
    async fn rest(&self, doing: Doing) {
        use Error::{CheckpointAhead, EpochUnknown, ProjectionChanged, StoreIdentityChanged, StoreRestored};
        let is_foreign = |error: &Error| {
            let is_ahead = matches!(error, CheckpointAhead { .. } | StoreRestored { .. } | EpochUnknown { .. });
            is_ahead || matches!(error, ProjectionChanged { .. } | StoreIdentityChanged { .. })
        };
        let foreign = matches!(&doing, Doing::Faulted(error) if is_foreign(error));
        let checkpoint = match foreign {
            true => None,
            false => guard(self.subscriber.checkpoint(self.partition)).await.and_then(|read| read).ok(),
        };
        self.board.doing(self.partition, doing, checkpoint);
    }

    /// Waits for what is next, or for something else to do. Whether that was to try again.
    async fn wait(&mut self, next: Next, seen: Control) -> bool {
        let (head, control) = (&mut self.head, &mut self.control);
        let due = async {
            match next {
                Next::Page => {}
                Next::Event if head.changed().await.is_ok() => {}
                // The store has gone, and nothing will come.
                Next::Event => std::future::pending().await,
                Next::EventOr(pause) => tokio::select! {
                    Ok(()) = head.changed() => {}
                    () = sleep(pause) => {}
                },
                Next::Pause(pause) => sleep(pause).await,
                Next::Resume => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => false,
            told = control.wait_for(|now| *now != seen) => told.is_ok_and(|now| now.resumed != seen.resumed),
            () = due => false,
        }
    }
}
