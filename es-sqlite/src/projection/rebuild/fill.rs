//! The new read model is made from the log, while the present one stays in use.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use es_core::{Error, Page, Rebuilding, RecordedEvent};

use super::{last::Last, scratch::Scratch};
use crate::{
    blocking,
    long::Stop,
    projection::{
        Inner,
        failure::{self, OnFailure},
        migrations::Migrations,
        page::Care,
        parked::Kind,
        source::Feed,
    },
};

/// Events of a page: nobody waits for the scratch file.
const PAGE: usize = 4_096;
/// So near the head, the rest is left to the transaction that puts the read model in place.
const NEAR_HEAD: u64 = 200;
/// Events handled before it is looked whether the rebuild was given up.
const BETWEEN_STOPS: usize = 64;
/// How often the log of the program hears of it.
const TOLD: Duration = Duration::from_secs(1);

/// A read model in the making.
pub(super) struct Making {
    pub(super) inner: Arc<Inner>,
    pub(super) scratch: Scratch,
    pub(super) feed: Feed,
    /// Up to where events are in it.
    pub(super) position: u64,
    /// What comes behind them.
    pub(super) last: Last,
}

impl Making {
    /// An empty read model in a scratch file.
    pub(super) fn start(inner: Arc<Inner>) -> Result<Self, Error> {
        let Inner { name, migrations, target, source, .. } = &*inner;
        let mut scratch = Scratch::make(name, &target.place().path)?;
        let place = scratch.place.clone();
        scratch.write(|connection, guard| {
            Migrations { projection: name, known: migrations, place: &place }.apply(connection, guard)
        })?;
        if inner.policy.on_failure != OnFailure::Skip {
            // What somebody has passed over would stop the new read model as well.
            let mut skipped = blocking::wait(target.readers().read(|reader| {
                inner.notes(&reader.connection).list(Kind::Skipped).map_err(|error| inner.noting(error))
            }))?;
            // Where the store was restored since, other events are there now.
            let checkpoints = blocking::wait(inner.checkpoints(inner.store_id()))?;
            let restored_to = checkpoints.iter().filter_map(|row| row.restored_to(source.log())).min();
            skipped.retain(|event| restored_to.is_none_or(|restored_to| event.position <= restored_to));
            scratch.write(|connection, _| {
                let notes = inner.notes(connection);
                skipped
                    .iter()
                    .try_for_each(|event| notes.note(Kind::Skipped, event))
                    .map_err(|error| inner.noting(error))
            })?;
        }
        let feed = source.feed()?;
        Ok(Self { inner, scratch, feed, position: 0, last: Last::default() })
    }

    /// Handles events until the head is near.
    pub(super) fn fill(&mut self, stop: Stop<'_>, pace: &mut Pace<'_>) -> Result<(), Error> {
        loop {
            let Page { events, scanned_to } = self.feed.page(self.position, PAGE, &self.inner.filter, stop)?;
            self.handle(&events, stop)?;
            self.position = scanned_to;
            stop()?;
            let head = self.inner.source.head(stop)?;
            pace.tell(self.position, head);
            if head.saturating_sub(self.position) <= NEAR_HEAD {
                return Ok(());
            }
        }
    }
}

impl Making {
    /// Handles a page by the projection's own policy for failures. There is no second try: nothing is lost by failing,
    /// and what is parked can be released.
    fn handle(&mut self, events: &[RecordedEvent], stop: Stop<'_>) -> Result<(), Error> {
        let inner = &self.inner;
        let mut care: Option<Care> = None;
        loop {
            let handled = self.scratch.write(|connection, guard| {
                events.chunks(BETWEEN_STOPS).try_for_each(|events| {
                    stop()?;
                    inner.run_events(connection, guard, events, care.as_ref())
                })
            });
            match handled {
                Err(Error::ProjectionFaulted { position, source, .. }) if inner.gives_up() => match &mut care {
                    None => care = Some(Care::last(position)),
                    Some(care) => drop(care.given_up.insert(position, failure::in_words(&*source))),
                },
                handled => return handled,
            }
        }
    }
}

/// Says how far a rebuild is.
pub(super) struct Pace<'p> {
    projection: &'p str,
    begun: Instant,
    told: Instant,
    head: u64,
    report: &'p dyn Fn(Rebuilding),
}

impl<'p> Pace<'p> {
    pub(super) fn new(projection: &'p str, report: &'p dyn Fn(Rebuilding)) -> Self {
        let begun = Instant::now();
        Self { projection, begun, told: begun, head: 0, report }
    }

    /// After each page; the log of the program hears of it now and then.
    pub(super) fn tell(&mut self, position: u64, head: u64) {
        // A page may end behind a head that was looked up before it.
        self.head = self.head.max(head).max(position);
        let now = Rebuilding::new(position, self.head, self.begun.elapsed());
        if self.told.elapsed() >= TOLD {
            self.told = Instant::now();
            tracing::info!(projection = self.projection, "rebuilding: {now}");
        }
        (self.report)(now);
    }

    /// The new read model is in place, up to this position.
    pub(super) fn done(&mut self, position: u64) {
        self.tell(position, position);
        let took = self.begun.elapsed();
        tracing::info!(projection = self.projection, position, ?took, "rebuilt");
    }
}
