//! Publishing in order, many messages under way at once, as long as there is no doubt.

use std::{pin::pin, sync::Arc, time::Duration};

use async_nats::{
    Client, HeaderMap, HeaderValue, Message, StatusCode, Subscriber,
    header::NATS_EXPECTED_LAST_SEQUENCE,
    jetstream::{ErrorCode, stream::Config},
};
use bytes::Bytes;
use es_core::{Error, RecordedEvent, Result, Timestamp};
use futures_util::{FutureExt, StreamExt};
use serde::Deserialize;
use tokio::time::{Instant, timeout, timeout_at};

use super::window::Window;
use crate::{connection::Connection, envelope::EnvelopeWriter, errors::unavailable, event_subject::event_subject};

/// Without an answer for so long, a server is taken for gone. To be wrong costs some questions.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// How often one that waits looks whether the connection is still the same.
const LOOK: Duration = Duration::from_millis(20);
/// A session at rest ends after so long.
const LONGEST: Duration = Duration::from_secs(30);
/// More than the headers of a message need.
const HEADERS: usize = 96;
/// Bytes of the longest subject: what a server takes in one line, less what else is in it.
const LONGEST_SUBJECT: usize = 3_800;

/// Bytes of the largest envelope that server and stream take; a larger event is published without its payload.
pub(super) fn largest_envelope(client: &Client, config: &Config) -> usize {
    let of_stream = usize::try_from(config.max_message_size).ok().filter(|size| *size > 0);
    client.max_payload().min(of_stream.unwrap_or(usize::MAX)).saturating_sub(HEADERS)
}

/// One run of publishing. It ends with the first doubt: what was not acknowledged by then may be stored or not.
#[derive(Debug)]
pub(super) struct Session {
    connection: Arc<Connection>,
    connects: u64,
    begun: Instant,
    acks: Subscriber,
    inbox: String,
    config: Config,
    prefix: String,
    writer: EnvelopeWriter,
    window: Window,
}

/// The server's answer to a message.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    seq: u64,
    #[serde(default, borrow)]
    stream: std::borrow::Cow<'a, str>,
    error: Option<async_nats::jetstream::Error>,
}

/// Awaits what is asked of the server, as long as the connection is the one it is asked over: on another one, no answer
/// comes any more.
pub(super) async fn as_long_as_connected<T>(
    connection: &Connection,
    connects: u64,
    asking: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut asking = pin!(asking);
    loop {
        match timeout(LOOK, &mut asking).await {
            Ok(answered) => return answered,
            Err(_) if connection.connects().is_ok_and(|now| now == connects) => {}
            Err(_) => return Err(lost()),
        }
    }
}

fn lost() -> Error {
    Error::Unavailable { why: "the connection to NATS was lost".into() }
}

impl Session {
    /// Begins to publish after a position, to a stream that ends there.
    pub(super) async fn begin(
        connection: &Arc<Connection>,
        connects: u64,
        writer: EnvelopeWriter,
        config: &Config,
        prefix: &str,
        after: u64,
    ) -> Result<Self> {
        let inbox = connection.client.new_inbox();
        let acks = connection.client.subscribe(format!("{inbox}.*")).await.map_err(unavailable)?;
        Ok(Self {
            connection: connection.clone(),
            connects,
            begun: Instant::now(),
            acks,
            inbox,
            config: config.clone(),
            prefix: prefix.to_owned(),
            writer,
            window: Window::after(after),
        })
    }

    /// Whether it can go on. One that has nothing under way ends after a while, so that the next one looks at the stream.
    pub(super) fn is_usable(&self) -> bool {
        self.is_current() && (self.window.outstanding() > 0 || self.begun.elapsed() < LONGEST)
    }

    /// Whether the connection is still the one it began with.
    fn is_current(&self) -> bool {
        self.connection.connects().is_ok_and(|connects| connects == self.connects)
    }

    /// Publishes the event after the last one, once there is room for it.
    pub(super) async fn publish(&mut self, event: &RecordedEvent) -> Result<()> {
        let position = event.meta.position;
        if position != self.window.last() + 1 {
            let why = format!("position {} was to come next", self.window.last() + 1);
            return Err(Error::Corrupt { what: format!("event at position {position}"), why });
        }
        let subject = event_subject(&self.prefix, &event.meta);
        if subject.len() > LONGEST_SUBJECT {
            let what = "subject of an event (the ids in it)";
            return Err(Error::TooLarge { what, limit: LONGEST_SUBJECT, actual: subject.len() });
        }
        let body = self.body(event)?;
        let bytes = body.len();
        while !self.window.has_room(bytes) {
            self.wait().await?;
        }
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SEQUENCE, HeaderValue::from(position - 1));
        let reply = format!("{}.{position}", self.inbox);
        let sending = self.connection.client.publish_with_reply_and_headers(subject, reply, headers, body);
        timeout(PATIENCE, sending).await.map_err(|_| self.silent())?.map_err(unavailable)?;
        self.window.sent(&event.meta, bytes);
        while let Some(ack) = self.acks.next().now_or_never() {
            self.answered(ack)?;
        }
        Ok(())
    }

    /// The event's envelope, without its payload where the server would not take it.
    ///
    /// # Errors
    /// [`Refused`](Error::Refused) when even that is too large: its metadata is.
    fn body(&mut self, event: &RecordedEvent) -> Result<Bytes> {
        let limit = largest_envelope(&self.connection.client, &self.config);
        if event.payload.len() < limit {
            let whole = self.writer.whole(event);
            if whole.len() <= limit {
                return Ok(whole);
            }
        }
        tracing::warn!(
            position = event.meta.position,
            bytes = event.payload.len(),
            limit,
            "an event is larger than the server takes; it is published without its payload"
        );
        let stub = self.writer.stub(event);
        if stub.len() <= limit {
            return Ok(stub);
        }
        let (position, bytes) = (event.meta.position, stub.len() + HEADERS);
        let why = format!(
            "the event at position {position} takes {bytes} bytes without its payload, the limit is {}; raise max_payload, \
             or max_msg_size of the stream",
            limit + HEADERS
        );
        Err(Error::Refused { by: format!("stream `{}`", self.config.name), why })
    }

    /// Waits until everything that was published is acknowledged.
    pub(super) async fn settle(&mut self) -> Result<()> {
        while self.window.outstanding() > 0 {
            self.wait().await?;
        }
        Ok(())
    }

    /// Waits for an acknowledgement, and takes those that are there with it.
    async fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let ack = loop {
            let look = deadline.min(Instant::now() + LOOK);
            match timeout_at(look, self.acks.next()).await {
                Ok(ack) => break ack,
                Err(_) if !self.is_current() => {
                    return Err(lost());
                }
                Err(_) if look >= deadline => return Err(self.silent()),
                Err(_) => {}
            }
        };
        self.answered(ack)?;
        while let Some(ack) = self.acks.next().now_or_never() {
            self.answered(ack)?;
        }
        Ok(())
    }

    fn answered(&mut self, message: Option<Message>) -> Result<()> {
        let Some(message) = message else {
            return Err(Error::Unavailable { why: "the connection to NATS was closed".into() });
        };
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(Error::Unavailable { why: format!("stream `{}` does not take messages", self.config.name) });
        }
        let position = message.subject.rsplit_once('.').and_then(|(_, position)| position.parse().ok());
        let answer: Answer<'_> = serde_json::from_slice(&message.payload)
            .map_err(|error| Error::Unavailable { why: format!("NATS answered with something else: {error}") })?;
        match (position, answer.error) {
            // Also as a duplicate: it is what stands at this position.
            (Some(position), None) if answer.seq == position && answer.stream == self.config.name => {
                self.window.acked(position);
                Ok(())
            }
            (_, None) => Err(Error::Unavailable {
                why: format!("stream `{}` put a message at {}, not at {position:?}", answer.stream, answer.seq),
            }),
            (_, Some(error)) => Err(self.refused(&error)),
        }
    }

    /// All refusals are doubts: what the stream holds decides what is done next.
    fn refused(&self, error: &async_nats::jetstream::Error) -> Error {
        const ELSEWHERE: [ErrorCode; 2] =
            [ErrorCode::STREAM_WRONG_LAST_SEQUENCE, ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT];
        let why = match ELSEWHERE.contains(&error.error_code()) {
            true => format!("stream `{}` does not end where it should: {error}", self.config.name),
            false => format!("stream `{}` refused a message: {error}", self.config.name),
        };
        Error::Unavailable { why }
    }

    fn silent(&self) -> Error {
        let left = self.window.outstanding();
        Error::Unavailable { why: format!("NATS has acknowledged none of {left} messages for {PATIENCE:?}") }
    }

    /// The position after which publishing goes on.
    pub(super) fn published(&self) -> u64 {
        self.window.last()
    }

    /// Everything up to this position is acknowledged.
    pub(super) fn acked(&self) -> u64 {
        self.window.acked_to()
    }

    pub(super) fn outstanding(&self) -> usize {
        self.window.outstanding()
    }

    /// How many events were acknowledged since this was last asked, and when the last of them was recorded.
    pub(super) fn take_fresh(&mut self) -> (u64, Option<Timestamp>) {
        self.window.take_fresh()
    }
}
