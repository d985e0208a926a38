//! What has happened before the read model is looked at.

use std::future::IntoFuture;

use es_core::{store::BoxFuture, testing::History};

use super::ReadModel;
use crate::SqliteProjectionBuilder;

/// Begins a test of a read model: say which events are [given](Given::given), and await it.
pub fn read_model(builder: SqliteProjectionBuilder) -> Given {
    Given { model: Of::New(Box::new(builder)), history: History::default() }
}

/// Events for a read model; awaited, they are stored and handled.
///
/// # Panics
/// Like everything here, when the test is wrong: an id that is none, events that can't be stored, a read model that
/// can't be built. And when a hook refuses an event.
#[derive(Debug)]
#[must_use = "a test that is not awaited tests nothing"]
pub struct Given {
    model: Of,
    history: History,
}

#[derive(Debug)]
enum Of {
    New(Box<SqliteProjectionBuilder>),
    Made(Box<ReadModel>),
}

impl Given {
    es_core::__given_history!();

    pub(super) fn more(model: ReadModel) -> Self {
        Self { model: Of::Made(Box::new(model)), history: History::default() }
    }

    async fn handled(self) -> ReadModel {
        let model = match self.model {
            Of::New(builder) => ReadModel::make(*builder).await,
            Of::Made(model) => *model,
        };
        self.history.record(model.store(), model.clock()).await;
        model.caught_up().await;
        model
    }
}

impl IntoFuture for Given {
    type Output = ReadModel;
    type IntoFuture = BoxFuture<'static, ReadModel>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.handled())
    }
}
