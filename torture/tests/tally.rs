//! A read model that shows an event left out, handled twice or out of order, and what it should come to.

use std::collections::BTreeMap;

use es_core::{
    Encoding, Event, HookBuilder, RecordedEvent,
    error::{DecodeError, EncodeError},
    partition_of,
};
use es_sqlite::{SqliteProjection, SqliteProjectionBuilder};

/// Any event of the tests.
#[derive(Clone, Debug)]
pub(crate) struct Noted;

impl Event for Noted {
    const TYPE: &'static str = "torture.v1.Noted0";
    const TYPES: &'static [&'static str] = &[
        "torture.v1.Noted0",
        "torture.v1.Noted1",
        "torture.v1.Noted2",
        "torture.v1.Noted3",
        "torture.v1.Noted4",
        "torture.v1.Noted5",
        "torture.v1.Noted6",
    ];
    const ENCODING: Encoding = Encoding::Protobuf;

    fn encode(&self, _: &mut Vec<u8>) -> Result<(), EncodeError> {
        Ok(())
    }

    fn decode(_: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self)
    }

    fn decode_stored(_: es_core::Encoded<'_>) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

/// How many events a stream has, and a number that depends on each of them and on their order.
type Tally = BTreeMap<String, (i64, i64)>;

fn mix(digest: i64, position: u64) -> i64 {
    (digest ^ position.cast_signed()).wrapping_mul(0x0100_0000_01b3).rotate_left(7)
}

/// The read model of this name.
pub(crate) fn tally(name: &'static str) -> SqliteProjectionBuilder {
    let table = format!(
        "CREATE TABLE {name} (stream TEXT PRIMARY KEY, events INTEGER NOT NULL, digest INTEGER NOT NULL) STRICT"
    );
    let (read, write) = (
        format!("SELECT digest FROM {name} WHERE stream = ?1"),
        format!(
            "INSERT INTO {name} VALUES (?1, 1, ?2)
             ON CONFLICT DO UPDATE SET events = events + 1, digest = excluded.digest"
        ),
    );
    SqliteProjection::builder(name).migration(table).on::<Noted, _>(
        move |tx: &es_sqlite::Tx<'_>, _: &Noted, meta: &es_core::EventMeta| {
            let stream = meta.stream.id.as_str();
            let digest = tx.query(&read, [stream], |row| row.get(0))?.first().copied().unwrap_or_default();
            tx.run(&write, (stream, mix(digest, meta.position)))
        },
    )
}

/// What the first events of the log come to, for each partition as many as it has handled.
#[derive(Default)]
pub(crate) struct Fold {
    checkpoints: Vec<usize>,
    tally: Tally,
}

impl Fold {
    fn up_to(&mut self, checkpoints: &[usize], log: &[RecordedEvent]) -> &Tally {
        let partitions = checkpoints.len();
        if self.checkpoints.len() != partitions || checkpoints.iter().zip(&self.checkpoints).any(|(to, at)| to < at) {
            *self = Self { checkpoints: vec![0; partitions], tally: Tally::new() };
        }
        for (partition, (&to, at)) in (0..).zip(checkpoints.iter().zip(&mut self.checkpoints)) {
            for event in &log[*at..to] {
                let stream = event.meta.stream.id.as_str();
                if partition_of(stream, u32::try_from(partitions).unwrap()) == partition {
                    let (events, digest) = self.tally.entry(stream.to_owned()).or_default();
                    *events += 1;
                    *digest = mix(*digest, event.meta.position);
                }
            }
            *at = to;
        }
        &self.tally
    }

    /// Whether the partitions were not all at one position when last looked at.
    pub(crate) fn is_apart(&self) -> bool {
        self.checkpoints.windows(2).any(|two| two[0] != two[1])
    }

    /// What is wrong with a read model.
    pub(crate) async fn wrong(&mut self, model: &SqliteProjection, log: &[RecordedEvent]) -> Option<String> {
        let name = es_core::Subscriber::name(model).to_owned();
        let (checkpoints, found): (Vec<usize>, Tally) = model
            .query(|tx| {
                let sql = "SELECT position FROM es_checkpoints WHERE name = ?1 ORDER BY partition";
                let checkpoints = tx.query(sql, [&name], |row| row.get(0))?;
                let rows = tx.query(&format!("SELECT stream, events, digest FROM {name}"), (), |row| {
                    Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))
                })?;
                Ok((checkpoints, rows.into_iter().collect()))
            })
            .await
            .unwrap();
        for &checkpoint in &checkpoints {
            if checkpoint > log.len() {
                return Some(format!("{name} stands at {checkpoint}, the log ends at {}", log.len()));
            }
            if log.get(checkpoint).is_some_and(|next| next.meta.commit_first < next.meta.position) {
                return Some(format!("{name} stands at {checkpoint}, in the middle of a commit"));
            }
        }
        let is_right = !checkpoints.is_empty() && found == *self.up_to(&checkpoints, log);
        (!is_right).then(|| format!("{name} is not what the events up to {checkpoints:?} come to"))
    }
}
