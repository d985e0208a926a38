//! What the tests have a store do: commits that can be recognised byte by byte.

use es_core::{
    AggregateId, Answer, Appended, CommandId, CommandRecord, Commit, EventStore, Expected, NewEvent, Result, StreamKey,
};

use crate::journal::Journal;

/// The stream of this name.
pub fn stream(id: &str) -> StreamKey {
    StreamKey::new(None, "torture.v1.Victim", AggregateId::new(id).expect("a test's ids are valid"))
}

/// The payload of an event of a command: different for each, of 20 to 600 bytes, and never stored by chance.
pub fn payload(command: &str, index: u64) -> Vec<u8> {
    let mut seed = index ^ 0x9e37_79b9_7f4a_7c15;
    for byte in command.bytes() {
        seed = (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mut rng = fastrand::Rng::with_seed(seed);
    let length = rng.usize(20..600);
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

/// A commit to one stream or several, under a command's id.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The command's id.
    pub id: String,
    /// Streams, how many events each gets, and what is expected of it.
    pub streams: Vec<(String, u64, Expected)>,
}

impl Ask {
    /// A commit of a command; [`to`](Self::to) adds its streams.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), streams: Vec::new() }
    }

    /// Adds events for a stream.
    #[must_use]
    pub fn to(mut self, stream: impl Into<String>, events: u64, expected: Expected) -> Self {
        self.streams.push((stream.into(), events, expected));
        self
    }

    /// The command's id as the store wants it.
    pub fn command(&self) -> CommandId {
        CommandId::new(&self.id).expect("a test's ids are valid")
    }

    /// The commit.
    pub fn commit(&self) -> Commit {
        let mut commit = Commit::default();
        let mut index = 0;
        for (id, events, expected) in &self.streams {
            let new = (index..index + events).map(|index| {
                // Some types are new in the middle of a log, and some commits take a unique key.
                let event_type = format!("torture.v1.Noted{}", payload(&self.id, index).len() % 7);
                let event = NewEvent::raw(event_type, payload(&self.id, index));
                if index == 0 { event.claim("command", self.id.clone()) } else { event }
            });
            let new = new.collect();
            index += events;
            commit = commit.and(stream(id), *expected, new);
        }
        let target = stream(self.streams.first().map_or("none", |(id, ..)| id));
        let answer = Answer::Accepted(payload(&self.id, u64::MAX));
        let record = CommandRecord { id: self.command(), payload_hash: [7; 32], answer, stream: target, version: 0 };
        commit.command(record)
    }

    /// Has it stored, with a line in the history before and after.
    ///
    /// # Errors
    /// What the store says.
    pub async fn append(&self, store: &dyn EventStore, journal: &Journal) -> Result<Appended> {
        let streams: Vec<_> = self.streams.iter().map(|(id, events, _)| (id.clone(), *events)).collect();
        journal.asked(&self.id, &streams);
        let answer = store.append(self.commit()).await;
        journal.answered(&self.id, &answer);
        answer
    }
}

/// A commit by lot: one to three streams of the writer's own, of everyone's, or new.
pub fn by_lot(rng: &mut fastrand::Rng, writer: &str, number: u64) -> Ask {
    let mut ask = Ask::new(format!("{writer}-{number}"));
    let own = format!("own-{writer}");
    let shared = format!("shared-{}", rng.u8(..3));
    let new = format!("new-{writer}-{number}");
    ask = ask.to(own, rng.u64(1..4), Expected::Any);
    if rng.bool() {
        ask = ask.to(shared, rng.u64(1..3), Expected::Any);
    }
    if rng.u8(..4) == 0 {
        ask = ask.to(new, 1, Expected::NoStream);
    }
    ask
}
