//! One thread that writes for all: what is queued while a commit is synced shares the next one.

use std::{path::Path, sync::mpsc, thread::JoinHandle};

use tokio::sync::oneshot;

use super::{
    connection,
    write::{Append, Conflict, Writer},
};
use crate::rounds::Result;

/// The most that goes into one transaction, as in the store.
const BATCH: usize = 1_024;

type Answer = Result<i64, Conflict>;
type Queued = (Append, oneshot::Sender<Answer>);

/// The way to the writing thread. When the last one is dropped, the thread ends.
#[derive(Clone, Debug)]
pub(crate) struct GroupCommit(mpsc::Sender<Queued>);

impl GroupCommit {
    /// Starts the thread on a file that exists.
    pub(crate) fn start(path: &Path) -> (Self, JoinHandle<Result<()>>) {
        let (sender, receiver) = mpsc::channel();
        let path = path.to_owned();
        (Self(sender), std::thread::spawn(move || run(&path, &receiver)))
    }

    /// Appends and waits for the commit; returns the account's new version.
    pub(crate) async fn append(&self, append: Append) -> Result<i64> {
        let (reply, answer) = oneshot::channel();
        self.0.send((append, reply)).map_err(|_| "the writing thread is gone")?;
        answer.await?.map_err(|Conflict| "someone else wrote".into())
    }
}

fn run(path: &Path, receiver: &mpsc::Receiver<Queued>) -> Result<()> {
    let connection = connection::writer(path)?;
    {
        let mut writer = Writer::new(&connection)?;
        let mut answers = Vec::new();
        while let Ok(first) = receiver.recv() {
            writer.begin()?;
            let mut next = Some(first);
            while let Some((append, reply)) = next {
                answers.push((writer.append(&append)?, reply));
                next = if answers.len() < BATCH { receiver.try_recv().ok() } else { None };
            }
            writer.commit()?;
            for (answer, reply) in answers.drain(..) {
                // A caller that no longer waits has its answer in the file.
                let _ = reply.send(answer);
            }
        }
    }
    connection::checkpoint(&connection)
}
