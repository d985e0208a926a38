//! A reader's cursor, in a task of its own: while the reader handles a page, the next one is fetched.

use std::time::Duration;

use es_core::{Error, Filter, Page, Result};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    cursor::Cursor,
    source::{REMEMBERED, Source},
};

/// For how long events are kept for a reader that does not come for them.
const UNREAD: Duration = Duration::from_secs(10);

/// A reader's place in the stream. Its task ends when this is dropped.
pub(super) struct Reader {
    at: u64,
    subjects: Vec<String>,
    asks: mpsc::Sender<Ask>,
}

/// What a page is to be, and where it goes.
struct Ask {
    limit: usize,
    known_head: u64,
    filter: Filter,
    answer: oneshot::Sender<Result<Page>>,
}

impl Reader {
    /// Begins after a position.
    pub(super) fn start(runtime: &Handle, source: Source, after: u64, subjects: Vec<String>) -> Self {
        let (asks, asked) = mpsc::channel(1);
        runtime.spawn(serve(source, after, subjects.clone(), asked));
        Self { at: after, subjects, asks }
    }

    /// Whether its next page is the one after a position, of these subjects.
    pub(super) fn continues(&self, after: u64, subjects: &[String]) -> bool {
        self.at == after && self.subjects == subjects && !self.has_ended()
    }

    /// Whether there is no next page to be had of it.
    pub(super) fn has_ended(&self) -> bool {
        self.asks.is_closed()
    }

    /// The next page.
    ///
    /// # Errors
    /// [`ShuttingDown`](Error::ShuttingDown) when its task has ended: another reader may go on.
    pub(super) async fn page(&mut self, limit: usize, known_head: u64, filter: &Filter) -> Result<Page> {
        let (answer, page) = oneshot::channel();
        let ask = Ask { limit, known_head, filter: filter.clone(), answer };
        self.asks.send(ask).await.map_err(|_| Error::ShuttingDown)?;
        let page = page.await.unwrap_or(Err(Error::ShuttingDown))?;
        self.at = page.scanned_to;
        Ok(page)
    }
}

async fn serve(source: Source, after: u64, subjects: Vec<String>, mut asked: mpsc::Receiver<Ask>) {
    let mut opened = None;
    loop {
        // The server forgets a consumer that has not asked for long.
        let patience = if opened.as_ref().is_some_and(Cursor::has_unread) { UNREAD } else { REMEMBERED };
        let Ok(Some(Ask { limit, known_head, filter, answer })) = timeout(patience, asked.recv()).await else { return };
        let cursor = match &mut opened {
            Some(cursor) => cursor,
            none => match Cursor::open(source.clone(), after, subjects.clone()).await {
                Ok(cursor) => none.insert(cursor),
                Err(error) => return drop(answer.send(Err(error))),
            },
        };
        let page = cursor.page(limit, known_head, &filter).await;
        let goes_on = page.is_ok() && !cursor.is_over();
        let is_taken = answer.send(page).is_ok();
        // What fails ahead of time is met again by the reader that then asks for it, and is told.
        if !goes_on || !is_taken || cursor.read_ahead(limit, known_head).await.is_err() {
            return;
        }
    }
}
