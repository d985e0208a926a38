//! Savepoints of ours inside an open transaction.

use rusqlite::{Connection, Result};

/// A savepoint: what is written behind it is kept or taken back as one piece. They nest, an append's around an inline
/// read model's, a task's or those around an event's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Savepoint {
    set: &'static str,
    back: &'static str,
    release: &'static str,
}

// The comments keep these apart from the same words in a hook, whose cached statement the authorizer has not seen.
macro_rules! savepoint {
    ($name:literal) => {
        Savepoint {
            set: concat!("SAVEPOINT ", $name, " -- es"),
            back: concat!("ROLLBACK TO ", $name, " -- es"),
            release: concat!("RELEASE ", $name, " -- es"),
        }
    };
}

impl Savepoint {
    /// An append with its inline read models.
    pub(crate) const APPEND: Self = savepoint!("es_append");
    /// An inline read model that may be left behind.
    pub(crate) const INLINE: Self = savepoint!("es_inline");
    /// Work of a projection inside the writer's transaction.
    pub(crate) const TASK: Self = savepoint!("es_task");
    /// The hooks of one event.
    pub(crate) const EVENT: Self = savepoint!("es_event");

    /// Sets it.
    pub(crate) fn set(self, connection: &Connection) -> Result<()> {
        run(connection, self.set)
    }

    /// Keeps what was written since.
    pub(crate) fn release(self, connection: &Connection) -> Result<()> {
        run(connection, self.release)
    }

    /// Takes back what was written since.
    pub(crate) fn take_back(self, connection: &Connection) -> Result<()> {
        run(connection, self.back)?;
        run(connection, self.release)
    }
}

fn run(connection: &Connection, sql: &str) -> Result<()> {
    connection.prepare_cached(sql)?.execute(()).map(drop)
}
