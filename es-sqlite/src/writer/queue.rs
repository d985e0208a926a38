//! The way into the writer: a bounded queue of work, and answers that can't be forgotten.

use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use es_core::{CommandId, Error};
use tokio::sync::{Semaphore, oneshot};

use super::{
    batch::Work,
    in_place::Shared,
    inline::{Followers, Inline},
};

/// Room in the queue, in pieces of 4 KiB: 64 MB or 16,384 small commits, waiting or under way.
const ROOM: u32 = 16_384;
const PIECE: usize = 4 << 10;

thread_local! {
    /// Whether this thread is writing: a hook that waited for the writer would wait for itself.
    static WRITING: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as writing, as long as it lives.
pub(super) struct Writing;

impl Writing {
    pub(super) fn here() -> Self {
        WRITING.set(true);
        Self
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        WRITING.set(false);
    }
}

fn refuse_while_writing() -> Result<(), Error> {
    if WRITING.get() {
        let why = "a projection's hook can't write to a store: it runs inside the store's writer; \
                   send commands from outside of it";
        return Err(Error::InvalidRequest { why: why.into() });
    }
    Ok(())
}

/// What the writer is sent.
pub(super) enum Message {
    /// Something to do in the next transaction.
    Work(Queued),
    /// Something was offered to go along with the next transaction.
    Offered,
    /// Someone wants to hear of other processes' writes.
    Wake,
    /// Finish what is queued, close the file, answer.
    Shutdown(oneshot::Sender<()>),
}

/// Work on its way.
pub(super) struct Queued {
    pub(super) work: Box<dyn Work>,
    pub(super) bytes: usize,
    /// Room in the queue that it takes, until the [`Rooms`] of its batch gives it back.
    room: u32,
}

impl Queued {
    /// Work that takes no room.
    pub(super) fn without_room(work: Box<dyn Work>, bytes: usize) -> Self {
        Self { work, bytes, room: 0 }
    }
}

/// The room that a batch takes: given back in one piece when the batch is done with, whatever became of it.
pub(super) struct Rooms {
    of: Arc<Semaphore>,
    taken: u32,
}

impl Rooms {
    pub(super) fn of(room: &Arc<Semaphore>, batch: &[Queued]) -> Self {
        Self { of: Arc::clone(room), taken: batch.iter().map(|queued| queued.room).sum() }
    }
}

impl Drop for Rooms {
    fn drop(&mut self) {
        self.of.add_permits(self.taken as usize);
    }
}

/// The sending end. When it is dropped, the writer finishes what is queued and ends.
pub(crate) struct Queue {
    shared: Arc<Shared>,
    sender: mpsc::Sender<Message>,
    room: Arc<Semaphore>,
    followers: Arc<Followers>,
    closing: AtomicBool,
}

impl Queue {
    pub(super) fn new(
        shared: Arc<Shared>,
        room: Arc<Semaphore>,
        followers: Arc<Followers>,
    ) -> (Self, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel();
        (Self { shared, sender, room, followers, closing: AtomicBool::new(false) }, receiver)
    }

    /// Has a read model kept in the transactions of appends from now on, as long as it lives.
    pub(crate) fn follow(&self, inline: Weak<dyn Inline>) {
        self.followers.add(inline);
    }

    /// All the room there is.
    pub(super) fn all_room() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(ROOM as usize))
    }

    /// Hands work over and waits for its answer; waits for room first. Once handed over, the work is done whether or
    /// not anyone still waits. A lone caller does it itself.
    pub(crate) fn submit<'q, T, F: FnOnce(Reply<T>) -> Box<dyn Work>>(
        &'q self,
        bytes: usize,
        command: Option<CommandId>,
        work: F,
    ) -> impl Future<Output = Result<T, Error>> + use<'q, T, F> {
        // Made here and not in the future, which would be the larger by all of it.
        let (reply, answer) = Reply::new(command);
        let work = work(reply);
        async move {
            refuse_while_writing()?;
            let room = u32::try_from(1 + bytes / PIECE).unwrap_or(ROOM).min(ROOM);
            self.room.acquire_many(room).await.map_err(|_| Error::ShuttingDown)?.forget();
            // Nothing is awaited between taking the room and handing over: it goes back with the batch.
            if let Err(queued) = self.shared.commit(Queued { work, bytes, room }) {
                self.send(Message::Work(queued));
            }
            answer.await.unwrap_or(Err(Error::ShuttingDown))
        }
    }

    /// As [`submit`](Self::submit) without waiting for room: for the few pieces of work that whole threads wait for.
    pub(crate) async fn submit_now<T>(&self, work: impl FnOnce(Reply<T>) -> Box<dyn Work>) -> Result<T, Error> {
        refuse_while_writing()?;
        let (reply, answer) = Reply::new(None);
        self.send(Message::Work(Queued::without_room(work(reply), 0)));
        answer.await.unwrap_or(Err(Error::ShuttingDown))
    }

    /// Hands over work that nobody waits for, if there is room. It is done with the next transaction, or a moment later
    /// when there is none.
    pub(crate) fn offer(&self, bytes: usize, work: impl FnOnce() -> Box<dyn Work>) {
        if self.shared.take_along(bytes, || Queued::without_room(work(), bytes)) {
            self.send(Message::Offered);
        }
    }

    /// Has the writer look at the file now.
    pub(crate) fn wake(&self) {
        self.send(Message::Wake);
    }

    /// Refuses further work, waits for what is queued and for the file to be closed.
    pub(crate) async fn shutdown(&self) -> Result<(), Error> {
        if self.closing.swap(true, Ordering::SeqCst) {
            return Err(Error::ShuttingDown);
        }
        self.room.close();
        let (done, closed) = oneshot::channel();
        // A writer that is gone has closed its file.
        if self.sender.send(Message::Shutdown(done)).is_ok() {
            let _ = closed.await;
        }
        Ok(())
    }

    /// A message that can't be delivered answers itself when it is dropped.
    fn send(&self, message: Message) {
        if !self.closing.load(Ordering::SeqCst) {
            if let Message::Work(_) = message {
                self.shared.queued();
            }
            let _ = self.sender.send(message);
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("room", &self.room.available_permits()).finish_non_exhaustive()
    }
}

/// Where an answer goes. Dropped without one it says what is true: before the work was started that nothing was done,
/// afterwards that nobody knows.
pub(crate) struct Reply<T> {
    sender: Option<oneshot::Sender<Result<T, Error>>>,
    command: Option<CommandId>,
    started: bool,
}

impl<T> Reply<T> {
    fn new(command: Option<CommandId>) -> (Self, oneshot::Receiver<Result<T, Error>>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender: Some(sender), command, started: false }, receiver)
    }

    /// A reply that nobody waits for.
    #[cfg(test)]
    pub(super) fn nobody() -> Self {
        Self::new(None).0
    }

    /// From here on a lost answer means that the outcome is not known.
    pub(crate) fn start(&mut self) {
        self.started = true;
    }

    pub(crate) fn send(mut self, answer: Result<T, Error>) {
        if let Some(sender) = self.sender.take() {
            // Nobody may be waiting any more.
            let _ = sender.send(answer);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            let error = match self.started {
                true => Error::OutcomeUnknown { command_id: self.command.take(), source: None },
                false => Error::ShuttingDown,
            };
            let _ = sender.send(Err(error));
        }
    }
}
