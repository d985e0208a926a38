//! A read model is made again from all events beside the present one, and takes its place.

mod copy;
mod fill;
mod last;
mod neighbours;
mod scratch;
mod switch;

use std::{
    future::poll_fn,
    ops::ControlFlow,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Poll, ready},
};

use es_core::{Error, Rebuild, Rebuilding, guard_call, store::BoxFuture};
use rusqlite::Connection;
use tokio::sync::{mpsc, watch};

use self::{
    fill::{Making, Pace},
    scratch::Scratch,
};
use super::{Inner, SqliteProjection};
use crate::{
    blocking,
    long::{self, Stop},
};

impl SqliteProjection {
    /// Makes the read model again from all events, without a moment in which there is none, and returns its checkpoint.
    ///
    /// The same migrations and hooks fill a scratch file beside the read model's own (its name ends in `.rebuild`),
    /// while queries and the runner go on with the present read model. Near the head of the log, one transaction puts
    /// the new one in its place: queries see the old read model until it is committed, the new one afterwards, and the
    /// checkpoint does not go back. In the store's own file that transaction is one of the store's writer, and commits
    /// wait while it copies the rows: seconds for millions of them. A read model that large does better in a
    /// [file of its own](crate::SqliteProjectionBuilder::build_in).
    ///
    /// A projection that would stop since its [hooks changed](Self#when-its-hooks-change) waits meanwhile, and goes on
    /// afterwards. One that has stopped before goes on when its runner is told to [`resume`](es_core::Running::resume),
    /// which [`Running::rebuild`](es_core::Running::rebuild) does.
    ///
    /// Where the read model is made from a [log elsewhere](crate::SqliteProjectionBuilder::build_over) that is
    /// unavailable for a while, the rebuild waits for it, until the future is dropped.
    ///
    /// After an error, and when the future is dropped before that transaction, the present read model is as it was, and
    /// the scratch file is removed; one that a killed program left is removed by the next [`build`](crate::SqliteProjectionBuilder::build)
    /// or rebuild.
    ///
    /// # Other tables in the file
    /// In the scratch file there are the tables of this read model only. A rebuild fails where a migration, a hook or a
    /// foreign key needs those of another one: use [`reset`](Self::reset) and [`catch_up`](Self::catch_up) instead,
    /// which work in place.
    ///
    /// Indexes and triggers that others have put on this read model's tables are kept. Tables of others may refer to
    /// them, but not with an action like ON DELETE CASCADE, since the rows are replaced.
    ///
    /// # Errors
    /// [`RebuildUnderWay`](Error::RebuildUnderWay) when it is being rebuilt already, by whatever process;
    /// [`ProjectionFaulted`](Error::ProjectionFaulted) for an event that a hook refuses,
    /// [`InvalidRequest`](Error::InvalidRequest) when a hook makes tables, which only migrations may, when another program
    /// changed the tables meanwhile, or when tables of others would change; or what the storage reports.
    pub async fn rebuild(&self) -> Result<u64, Error> {
        self.rebuild_with(|_| ()).await
    }

    /// As [`rebuild`](Self::rebuild); says after each page how far it is.
    ///
    /// ```
    /// # #![allow(dead_code)]
    /// # use es_sqlite::SqliteProjection;
    /// # async fn rebuild(balances: &SqliteProjection) -> es_core::Result<()> {
    /// balances.rebuild_with(|now| println!("{now}")).await?; // 412000 of 1000000 events, 41 %, 205000/s, 3 s left
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`rebuild`](Self::rebuild), and [`HandlerPanicked`](Error::HandlerPanicked) when `report` panics.
    pub async fn rebuild_with(&self, report: impl Fn(&Rebuilding) + Send + Sync) -> Result<u64, Error> {
        let _this = self.rebuilding.begin().ok_or_else(|| self.inner.under_way())?;
        let (sender, mut reports) = mpsc::unbounded_channel();
        let inner = Arc::clone(&self.inner);
        let work = long::run(format!("rebuilding `{}`", inner.name), move |stop| {
            inner.rebuild(stop, &|now| {
                // Nobody listens any more: then `stop` says so, too.
                let _ = sender.send(now);
            })
        });
        let mut work = pin!(work);
        let tell = |now| guard_call(|| "the report of a rebuild".into(), || report(&now));
        poll_fn(|context| {
            while let Poll::Ready(Some(now)) = reports.poll_recv(context) {
                tell(now)?;
            }
            let done = ready!(work.as_mut().poll(context));
            // Its last words.
            while let Ok(now) = reports.try_recv() {
                tell(now)?;
            }
            Poll::Ready(done)
        })
        .await
    }
}

impl Rebuild for SqliteProjection {
    fn rebuild<'a>(&'a self, report: &'a (dyn Fn(&Rebuilding) + Send + Sync)) -> BoxFuture<'a, Result<u64, Error>> {
        Box::pin(self.rebuild_with(report))
    }
}

impl Inner {
    fn under_way(&self) -> Error {
        Error::RebuildUnderWay { name: self.name.clone() }
    }

    /// Removes what a killed rebuild has left.
    pub(super) fn clear_scratch(&self) {
        Scratch::clear(&self.name, &self.target.place().path);
    }

    /// Refuses to drop tables where that would change those of others.
    fn spare_neighbours(&self, connection: &Connection) -> Result<(), Error> {
        let found = neighbours::endangered_by(&self.name, connection)
            .map_err(|error| self.target.place().error("reading the schema", error))?;
        let Some((table, action)) = found else { return Ok(()) };
        let why = format!(
            "{table}, which is not a table of `{}`, refers to one with ON DELETE {action}: it would change when that is \
             replaced; leave the action out",
            self.name
        );
        Err(Error::InvalidRequest { why })
    }

    /// On a thread of its own.
    fn rebuild(self: &Arc<Self>, stop: Stop<'_>, report: &dyn Fn(Rebuilding)) -> Result<u64, Error> {
        let mut pace = Pace::new(&self.name, report);
        blocking::wait(self.target.readers().read(|reader| self.spare_neighbours(&reader.connection)))?;
        let mut making = Making::start(Arc::clone(self))?;
        let position = loop {
            making.fill(stop, &mut pace)?;
            making.refuse_made_by_hooks()?;
            making.read_last(stop)?;
            match self.place(making)? {
                ControlFlow::Break(position) => break position,
                // Each time there is less to read and less to handle before the next.
                ControlFlow::Continue(again) => making = again,
            }
        };
        pace.done(position);
        Ok(position)
    }

    /// Breaks with the checkpoint of the new read model once it is in place; gives it back when the present one has
    /// gone beyond what was read.
    fn place(&self, making: Making) -> Result<ControlFlow<u64, Making>, Error> {
        // Shared with the writer, which may let go of its share a moment after it has answered; what is inside goes now.
        let making = Arc::new(Mutex::new(Some(making)));
        let shared = Arc::clone(&making);
        let placed = blocking::wait(self.target.write(move |connection, guard| {
            match &mut *shared.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(making) => making.put_in_place(connection, guard),
                None => Err(Error::ShuttingDown),
            }
        }));
        let making = making.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (placed?, making) {
            (ControlFlow::Break(position), _) => Ok(ControlFlow::Break(position)),
            (ControlFlow::Continue(()), Some(making)) => Ok(ControlFlow::Continue(making)),
            (ControlFlow::Continue(()), None) => Err(Error::ShuttingDown),
        }
    }
}

impl Making {
    /// A table that a hook made would be left by a reset, and be in the way of the new one.
    fn refuse_made_by_hooks(&self) -> Result<(), Error> {
        let found = copy::not_by_migration(&self.scratch.connection)
            .map_err(|error| self.scratch.place.error("reading the schema", error))?;
        let Some((kind, name)) = found else { return Ok(()) };
        let projection = &self.inner.name;
        let why = format!("a hook of `{projection}` makes the {kind} {name}; make it in a migration");
        Err(Error::InvalidRequest { why })
    }
}

/// Whether a rebuild is under way in this process.
#[derive(Debug, Default)]
pub(super) struct UnderWay(watch::Sender<bool>);

impl UnderWay {
    pub(super) fn get(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until none is.
    pub(super) async fn over(&self) {
        // The sender is here.
        let _ = self.0.subscribe().wait_for(|under_way| !under_way).await;
    }

    /// Marks one as under way, as long as the mark lives; none when there is one.
    fn begin(&self) -> Option<Mark<'_>> {
        let begun = self.0.send_if_modified(|under_way| !std::mem::replace(under_way, true));
        begun.then_some(Mark(self))
    }
}

struct Mark<'u>(&'u UnderWay);

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.0.0.send_replace(false);
    }
}
