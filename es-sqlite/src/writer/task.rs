//! Work of a projection inside the writer's transaction: behind a savepoint, since it may fail after it wrote.

use es_core::Error;
use rusqlite::Connection;

use super::{
    batch::{Broken, Transaction, Work},
    queue::Reply,
};
use crate::{projection::Guard, savepoint::Savepoint};

/// A closure with an answer. It may be called again on a fresh transaction.
pub(crate) struct Task<T, F> {
    run: F,
    reply: Reply<T>,
    answer: Option<Result<T, Error>>,
}

impl<T, F> Task<T, F>
where
    T: Send,
    F: FnMut(&Connection, &Guard) -> Result<T, Error> + Send,
{
    pub(crate) fn new(run: F, reply: Reply<T>) -> Self {
        Self { run, reply, answer: None }
    }
}

impl<T, F> Work for Task<T, F>
where
    T: Send,
    F: FnMut(&Connection, &Guard) -> Result<T, Error> + Send,
{
    fn apply(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Broken> {
        self.reply.start();
        let connection = transaction.connection;
        let broken = Broken::by("setting a savepoint");
        Savepoint::TASK.set(connection).map_err(&broken)?;
        let answer = (self.run)(connection, transaction.guard);
        if connection.is_autocommit() {
            return Err(Broken::ended("running a projection", answer.err()));
        }
        let ended = match answer {
            Ok(_) => Savepoint::TASK.release(connection),
            Err(_) => Savepoint::TASK.take_back(connection),
        };
        ended.map_err(&broken)?;
        self.answer = Some(answer);
        Ok(())
    }

    fn answer(self: Box<Self>) {
        if let Some(answer) = self.answer {
            self.reply.send(answer);
        }
    }

    fn fail(self: Box<Self>, error: Error) {
        self.reply.send(Err(error));
    }
}
