//! Hearing of new events.

use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use es_core::Result;
use futures_util::StreamExt;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::source::Source;
use crate::errors::unavailable;

/// The server says at least so often that it is there.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Waited before the stream is asked for again after it could not be.
const PAUSE: Duration = Duration::from_millis(250);

/// A task that keeps the head up to date until it is dropped.
pub(super) struct Watching(JoinHandle<()>);

impl Watching {
    /// Follows the stream by the headers of its messages.
    pub(super) fn start(source: Source, head: watch::Sender<u64>) -> Self {
        Self(tokio::spawn(async move {
            loop {
                if let Err(error) = follow(&source, &head).await {
                    tracing::warn!(stream = source.stream(), %error, "the stream can't be followed; will try again");
                    sleep(PAUSE).await;
                }
            }
        }))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn follow(source: &Source, head: &watch::Sender<u64>) -> Result<()> {
    let last = source.head().await?;
    tell(head, last);
    let consumer: PullConsumer = source.consumer(last, &[format!("{}.>", source.prefix())], true).await?;
    let messages = consumer.stream().heartbeat(HEARTBEAT).expires(HEARTBEAT * 4).messages().await;
    let mut messages = messages.map_err(unavailable)?;
    loop {
        // A server that was replaced by another one says nothing of the consumer, either.
        let Ok(next) = timeout(HEARTBEAT * 8, messages.next()).await else {
            tell(head, source.head().await?);
            continue;
        };
        let message = next.ok_or_else(|| unavailable("the consumer ended"))?.map_err(unavailable)?;
        tell(head, message.info().map_err(unavailable)?.stream_sequence);
    }
}

/// Also of less than before: the stream lost its end, and what it is filled with again is to be heard of.
fn tell(head: &watch::Sender<u64>, last: u64) {
    head.send_if_modified(|known| std::mem::replace(known, last) != last);
}
