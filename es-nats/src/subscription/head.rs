//! Hearing of new events.

use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use es_core::{Error, Result};
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
/// Heartbeats without a message after which the stream is looked at.
const SILENT_FOR_LONG: u32 = 8;
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
                    if let Error::Diverged { .. } = error {
                        tracing::error!(stream = source.stream(), %error, "the stream is not followed any more");
                        return;
                    }
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
    let end = source.end().await?;
    tell(head, end);
    let consumer: PullConsumer = source.consumer(end, &[format!("{}.>", source.prefix())], true).await?;
    let messages = consumer.stream().heartbeat(HEARTBEAT).expires(HEARTBEAT * 4).messages().await;
    let mut messages = messages.map_err(unavailable)?;
    let (mut silent, mut warned_of) = (0_u32, None);
    loop {
        let Ok(next) = timeout(HEARTBEAT, messages.next()).await else {
            silent += 1;
            let half = source.half_published(*head.borrow());
            if let Some((first, last)) = half.filter(|_| half != warned_of) {
                let stream = source.stream();
                tracing::warn!(stream, first, last, "a commit is published by half; waiting for its relay to go on");
            }
            warned_of = half;
            // A server that was replaced by another one says nothing of the consumer.
            if silent.is_multiple_of(SILENT_FOR_LONG) {
                tell(head, source.end().await?);
            }
            continue;
        };
        silent = 0;
        let message = next.ok_or_else(|| unavailable("the consumer ended"))?.map_err(unavailable)?;
        tell(head, message.info().map_err(unavailable)?.stream_sequence);
    }
}

/// Also of less than before: the stream lost its end, and what it is filled with again is to be heard of.
fn tell(head: &watch::Sender<u64>, last: u64) {
    head.send_if_modified(|known| std::mem::replace(known, last) != last);
}
