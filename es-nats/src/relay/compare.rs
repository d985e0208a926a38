//! Messages of the stream beside the events of the store.

use std::{error::Error as _, ops::RangeInclusive, vec};

use async_nats::jetstream::{
    context::RequestError,
    message::StreamMessage,
    stream::{RawMessageError, RawMessageErrorKind, Stream},
};
use es_core::{EventLog, Filter, RecordedEvent, Result};
use futures_util::{StreamExt, stream};

use super::{Inner, verify::Verified};
use crate::errors::unavailable;
use crate::{
    envelope::{Content, Envelope, EnvelopeWriter},
    event_subject::event_subject,
};

/// Messages asked for at once.
const ASKED: usize = 64;
/// Events read at once.
const PAGE: usize = 500;

impl Inner {
    /// Compares the messages of a range with the store, and notes what is missing and what differs.
    pub(super) async fn compare(
        &self,
        store: &dyn EventLog,
        from: &Stream,
        range: RangeInclusive<u64>,
        found: &mut Verified,
    ) -> Result<()> {
        let messages = range.map(|sequence| async move { (sequence, from.get_raw_message(sequence).await) });
        let mut messages = stream::iter(messages).buffered(ASKED);
        let mut events = Events { store, page: Vec::new().into_iter() };
        while let Some((sequence, message)) = messages.next().await {
            let why = match there(message)? {
                There::Nothing => {
                    found.miss(sequence);
                    None
                }
                There::Unreadable(why) => Some(format!("it can't be read ({why})")),
                There::Message(message) => match events.at(sequence).await? {
                    Some(event) => self.differs(&message, &event),
                    None => Some("the store has no such event".into()),
                },
            };
            found.differing.extend(why.map(|why| (sequence, why)));
        }
        Ok(())
    }

    /// Why a message is not that of an event of this store, if it is not.
    fn differs(&self, message: &StreamMessage, event: &RecordedEvent) -> Option<String> {
        let envelope = match Envelope::decode(&message.payload) {
            Ok(envelope) => envelope,
            Err(error) => return Some(format!("it has no envelope ({error})")),
        };
        let (theirs, ours) = (&envelope.store, &self.identity);
        if theirs.id != ours.id {
            return Some(format!("it has an event of store {}, this is store {}", theirs.id, ours.id));
        }
        if theirs.epoch > ours.epoch {
            return Some(format!("it has an event of epoch {} of the store, this is {}", theirs.epoch, ours.epoch));
        }
        // What was published before a restore is the same event still.
        let mut writer = EnvelopeWriter::new(theirs);
        let again = match envelope.content {
            Content::Whole(_) => writer.whole(event),
            Content::LeftOut { .. } => writer.stub(event),
        };
        if again != message.payload {
            return Some(format!("it has another event than the store, of {}", envelope.meta.stream));
        }
        let elsewhere = *message.subject != *event_subject(&self.prefix, &event.meta);
        elsewhere.then(|| format!("it is under another subject, {}", message.subject))
    }
}

/// What the stream has at a sequence.
enum There {
    Message(StreamMessage),
    Nothing,
    /// A message with headers that are none.
    Unreadable(String),
}

fn there(message: Result<StreamMessage, RawMessageError>) -> Result<There> {
    let error = match message {
        Ok(message) => return Ok(There::Message(message)),
        Err(error) => error,
    };
    match (error.kind(), error.source()) {
        (RawMessageErrorKind::NoMessageFound, _) => Ok(There::Nothing),
        // The server has answered, and with something else than an error.
        (RawMessageErrorKind::Other, Some(cause)) if !cause.is::<RequestError>() => {
            Ok(There::Unreadable(cause.to_string()))
        }
        _ => Err(unavailable(error)),
    }
}

/// The events of the store, asked for in order.
struct Events<'a> {
    store: &'a dyn EventLog,
    page: vec::IntoIter<RecordedEvent>,
}

impl Events<'_> {
    async fn at(&mut self, position: u64) -> Result<Option<RecordedEvent>> {
        if let Some(event) = self.page.find(|event| event.meta.position == position) {
            return Ok(Some(event));
        }
        self.page = self.store.read_all(position - 1, PAGE, &Filter::all()).await?.events.into_iter();
        Ok(self.page.next().filter(|event| event.meta.position == position))
    }
}
