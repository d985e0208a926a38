//! One request for messages, and its answer.
//!
//! With the fetch of the client below, each message would carry a handle of the connection.

use std::time::Duration;

use async_nats::{
    Client, StatusCode, Subscriber,
    jetstream::{
        self,
        consumer::{PullConsumer, pull::BatchConfig},
    },
};
use bytes::Bytes;
use es_core::Result;
use futures_util::{FutureExt, StreamExt};
use tokio::time::timeout;

use crate::errors::unavailable;

/// A server that is silent for longer amid an answer is taken for gone.
const SILENCE: Duration = Duration::from_secs(5);

/// The answer, as far as it has not been taken.
pub(super) struct Batch {
    messages: Subscriber,
    client: Client,
    /// The message that was taken last, without its body.
    last: Option<jetstream::Message>,
    asked: usize,
    taken: usize,
}

/// What comes next.
pub(super) enum Next {
    Message {
        body: Bytes,
        /// Its place in the stream.
        sequence: u64,
        /// How many the consumer has delivered with it.
        count: u64,
    },
    /// The stream has no more of them now.
    Exhausted,
    /// As much as was asked for has come.
    Full,
}

impl Batch {
    /// Asks for what there is, at most so many messages and bytes.
    pub(super) async fn request(
        client: &Client,
        consumer: &PullConsumer,
        messages: usize,
        bytes: usize,
    ) -> Result<Self> {
        let inbox = client.new_inbox();
        let answer = client.subscribe(inbox.clone()).await.map_err(unavailable)?;
        let config = BatchConfig { batch: messages, max_bytes: bytes, no_wait: true, ..BatchConfig::default() };
        consumer.request_batch(config, inbox.into()).await.map_err(unavailable)?;
        Ok(Self { messages: answer, client: client.clone(), last: None, asked: messages, taken: 0 })
    }

    pub(super) async fn next(&mut self) -> Result<Next> {
        if self.taken == self.asked {
            return Ok(Next::Full);
        }
        // Most have come already, and no clock is set for them.
        let next = match self.messages.next().now_or_never() {
            Some(next) => next,
            None => timeout(SILENCE, self.messages.next())
                .await
                .map_err(|_| unavailable("the server has stopped amid an answer"))?,
        };
        let message = next.ok_or_else(|| unavailable("the connection was closed amid an answer"))?;
        match message.status {
            None | Some(StatusCode::OK) => {}
            Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => return Ok(Next::Exhausted),
            Some(status) => {
                let why = message.description.unwrap_or_default();
                if self.taken > 0 && why.contains("MaxBytes") {
                    return Ok(Next::Full);
                }
                return Err(unavailable(format!("no messages were sent: {status} {why}")));
            }
        }
        let last = match &mut self.last {
            Some(last) => {
                last.message = message;
                last
            }
            none => none.insert(jetstream::Message { message, context: jetstream::new(self.client.clone()) }),
        };
        let body = std::mem::take(&mut last.message.payload);
        let info = last.info().map_err(unavailable)?;
        self.taken += 1;
        Ok(Next::Message { body, sequence: info.stream_sequence, count: info.consumer_sequence })
    }
}
