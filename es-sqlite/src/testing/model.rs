//! A read model in a folder of its own, and what is expected of it.

use std::{path::PathBuf, sync::Arc};

use es_core::{Aggregate, ManualClock, testing::History};
use uuid::Uuid;

use super::{Given, rows::Rows};
use crate::{Durability, SqliteProjection, SqliteProjectionBuilder, SqliteStore, Tx};

/// Why two ways to one read model may end at different rows.
const HINT: &str = "what a hook writes must follow from its event and from the rows alone, and not from a clock, a \
                    random number or something the program keeps";

/// A read model that has handled all events that were [given](Given); say what you expect of it.
#[derive(Debug)]
pub struct ReadModel {
    projection: SqliteProjection,
    store: SqliteStore,
    clock: Arc<ManualClock>,
    _folder: Folder,
}

impl ReadModel {
    pub(super) async fn make(builder: SqliteProjectionBuilder) -> Self {
        let folder = Folder::new();
        let clock = Arc::new(ManualClock::at(History::BEGINNING));
        let store = SqliteStore::builder(folder.0.join("store.db"))
            .clock(Arc::clone(&clock))
            .durability(Durability::MayLoseRecentOnPowerLoss)
            .open()
            .await
            .expect("a store in a temporary folder");
        let projection = builder.build(&store).expect("a read model that can be built");
        Self { projection, store, clock, _folder: folder }
    }

    /// Runs queries on the read model, as [`SqliteProjection::query`].
    ///
    /// # Panics
    /// When the closure returns an error.
    pub async fn query<T>(&self, read: impl FnOnce(&Tx<'_>) -> rusqlite::Result<T>) -> T {
        self.projection.query(read).await.expect("a query of the read model")
    }

    /// More has happened to an aggregate, after what was looked at.
    #[track_caller]
    pub fn given<A: Aggregate>(self, id: &str, events: impl IntoIterator<Item = impl Into<A::Event>>) -> Given {
        Given::more(self).given::<A>(id, events)
    }

    /// Rebuilds the read model: its tables hold the same rows as before, in whatever order.
    ///
    /// This finds a hook that is not made for being run again: one that reads a clock, for example. (One that only
    /// reads the second may come through.)
    ///
    /// # Panics
    /// Otherwise, with the first difference.
    pub async fn then_rebuild_equals_live(self) -> Self {
        let live = self.rows().await;
        self.projection.rebuild().await.expect("the read model rebuilt");
        self.expect_same("the rebuilt read model is not the live one", ("live", &live), "rebuilt").await;
        self
    }

    /// Hands the read model pages it has had before, as a crash does and an owner that was replaced: rows and checkpoint
    /// stay.
    ///
    /// - The program dies after the commit, before it knows: the page comes again, and is refused.
    /// - Somebody else takes the projection over: what the former owner had in hand is refused.
    /// - The program dies before the commit: nothing of the page is left, and when it comes again it makes the same rows.
    ///   For this the read model is emptied and made again; events that were passed over by
    ///   [`skip`](SqliteProjection::skip) come again, too.
    ///
    /// # Panics
    /// Otherwise, with the first difference; and when nothing was given, since then there is nothing to deliver.
    pub async fn then_redelivery_changes_nothing(self) -> Self {
        let (live, checkpoints) = (self.rows().await, self.checkpoints().await);
        assert!(
            checkpoints.iter().any(|position| *position > 0),
            "no events were given: there is nothing to redeliver"
        );

        let refused = self.projection.hand_in_again().await.expect("a page handed in again");
        assert!(refused, "a page that was committed before was handled once more");
        self.expect_stay(&checkpoints, &live, "after a page came again").await;

        let refused = self.projection.hand_in_as_a_former_owner().await.expect("a former owner's page handed in");
        assert!(refused, "the page of an owner that was replaced was handled");
        self.expect_stay(&checkpoints, &live, "after a former owner's page").await;

        self.projection.reset().await.expect("the read model emptied");
        let empty = self.rows().await;
        self.projection.break_off_a_page().await.expect("a page handled and not committed");
        self.expect_same("a page that was broken off has left something", ("before", &empty), "after").await;
        self.caught_up().await;
        self.expect_stay(&checkpoints, &live, "after a page that was broken off came again").await;
        self
    }

    /// The projection, for everything else.
    pub fn projection(&self) -> &SqliteProjection {
        &self.projection
    }

    /// The store with the events.
    pub fn store(&self) -> &SqliteStore {
        &self.store
    }

    /// The store's clock. It stands until it is moved.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    pub(super) async fn caught_up(&self) {
        self.projection.catch_up().await.expect("a read model that handles what was given");
    }

    async fn rows(&self) -> Rows {
        let tables = self.projection.own_tables().await.expect("the names of its tables");
        self.query(|tx| Rows::read(tx, &tables)).await
    }

    async fn checkpoints(&self) -> Vec<u64> {
        self.projection.positions().await.expect("its checkpoint")
    }

    async fn expect_stay(&self, checkpoints: &[u64], live: &Rows, when: &str) {
        assert_eq!(self.checkpoints().await, checkpoints, "the checkpoint {when}");
        self.expect_same(&format!("the rows are others {when}"), ("before", live), "after").await;
    }

    async fn expect_same(&self, what: &str, (name, before): (&str, &Rows), after: &str) {
        if let Some(difference) = before.difference(name, &self.rows().await, after) {
            panic!("{what}: {difference}\n{HINT}");
        }
    }
}

/// A folder that goes with its owner.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("es-sqlite-{}", Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap_or_else(|error| panic!("{} can't be made: {error}", path.display()));
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
