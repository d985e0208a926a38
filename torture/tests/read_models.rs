//! Processes killed while they project: a read model is always what its events come to, up to its checkpoint.

use std::{collections::BTreeMap, path::Path, time::Duration};

use es_core::{
    Encoding, Event, EventStore, Filter, HookBuilder, RecordedEvent, Runner, Subscriber,
    error::{DecodeError, EncodeError},
};
use es_sqlite::{SqliteProjection, SqliteProjectionBuilder, SqliteStore};
use torture::{
    child::{self, Running, Start, argument, ready},
    effort,
    journal::Journal,
    table::Row,
    test_name, work,
};

use crate::support::{folder, run};

const FILE: &str = "TORTURE_FILE";
const NAME: &str = "TORTURE_NAME";
const PATIENCE: Duration = Duration::from_secs(60);

/// Any event of the tests.
#[derive(Clone, Debug)]
struct Noted;

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

/// A read model that shows an event left out, handled twice or out of order.
fn tally(name: &'static str) -> SqliteProjectionBuilder {
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

/// The read models: in the store's file, in one of its own, and in the append's transaction.
fn read_models(file: &Path, store: &SqliteStore) -> [SqliteProjection; 3] {
    [
        tally("same").build(store).expect("a killed read model opens"),
        tally("own").build_in(file.with_extension("read"), store).expect("a killed read model opens"),
        tally("inline").build_inline(store).expect("a killed read model opens"),
    ]
}

#[test]
fn a_victim() {
    let Some(role) = child::role() else { return };
    let (file, name) = (argument(FILE), argument(NAME));
    run(async {
        let store = SqliteStore::builder(&file).busy_timeout(PATIENCE).open().await.expect("a killed file opens");
        let models = read_models(Path::new(&file), &store);
        ready();
        if role == "projector" {
            let runner = models.iter().fold(Runner::new(store.clone()), |runner, model| runner.run(model.clone()));
            let _running = runner.start().unwrap();
            std::future::pending::<()>().await;
        }
        let journal = Journal::in_memory();
        let mut rng = fastrand::Rng::new();
        for number in 0.. {
            let ask = work::by_lot(&mut rng, &name, number);
            ask.append(&store, &journal).await.expect("nothing but a kill keeps it from appending");
        }
    });
}

/// Reads on in the log.
async fn read_on(store: &SqliteStore, log: &mut Vec<RecordedEvent>) {
    loop {
        let page = store.read_all(log.len() as u64, 1_000, &Filter::all()).await.unwrap();
        if page.events.is_empty() {
            return;
        }
        log.extend(page.events);
    }
}

/// What the first events of the log come to.
#[derive(Default)]
struct Fold {
    events: usize,
    tally: Tally,
}

impl Fold {
    fn up_to(&mut self, checkpoint: usize, log: &[RecordedEvent]) -> &Tally {
        if checkpoint < self.events {
            *self = Self::default();
        }
        for event in &log[self.events..checkpoint] {
            let (events, digest) = self.tally.entry(event.meta.stream.id.to_string()).or_default();
            *events += 1;
            *digest = mix(*digest, event.meta.position);
        }
        self.events = checkpoint;
        &self.tally
    }
}

/// What is wrong with a read model.
async fn wrong(model: &SqliteProjection, fold: &mut Fold, log: &[RecordedEvent]) -> Option<String> {
    let name = model.name().to_owned();
    let (checkpoint, found): (usize, Tally) = model
        .query(|tx| {
            let sql = "SELECT position FROM es_checkpoints WHERE name = ?1";
            let checkpoint = tx.query_row(sql, [&name], |row| row.get(0))?;
            let rows = tx.query(&format!("SELECT stream, events, digest FROM {name}"), (), |row| {
                Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))
            })?;
            Ok((checkpoint, rows.into_iter().collect()))
        })
        .await
        .unwrap();
    if checkpoint > log.len() {
        return Some(format!("{name} stands at {checkpoint}, the log ends at {}", log.len()));
    }
    if log.get(checkpoint).is_some_and(|next| next.meta.commit_first < next.meta.position) {
        return Some(format!("{name} stands at {checkpoint}, in the middle of a commit"));
    }
    (found != *fold.up_to(checkpoint, log)).then(|| format!("{name} is not what {checkpoint} events come to"))
}

#[test]
fn read_models_of_killed_processes_are_what_their_events_come_to() {
    let rounds = effort::times(200, 2_000);
    let test = "killed while projecting";
    let mut rng = effort::lots(test);
    let (_folder, path) = folder();
    let (mut violations, mut kills, mut log, mut far) = (Vec::new(), 0, Vec::new(), 0);
    let mut folds: [Fold; 3] = std::array::from_fn(|_| Fold::default());
    for round in 0..rounds {
        let start = |(at, role): (usize, &&str)| {
            let name = format!("p{round}x{at}");
            Start::new(test_name!(a_victim), role).argument(FILE, &path).argument(NAME, name).start()
        };
        let roles = ["appender", "projector", "projector"];
        let mut children: Vec<Running> = roles.iter().enumerate().map(start).collect();
        children[rng.usize(..3)].until_ready();
        std::thread::sleep(Duration::from_micros(rng.u64(..40_000)));
        rng.shuffle(&mut children);
        kills += children.iter_mut().map(|child| u64::from(child.kill())).sum::<u64>();
        for child in children {
            let (_, said, complained) = child.end();
            assert!(!complained.contains("panicked"), "{said}\n{complained}");
        }
        run(async {
            let store = SqliteStore::open(&path).await.expect("opens without repair");
            read_on(&store, &mut log).await;
            for (model, fold) in read_models(&path, &store).iter().zip(&mut folds) {
                violations.extend(wrong(model, fold, &log).await);
                // Every now and then one starts over, so that the next round kills it while it catches up.
                if rng.u8(..6) == 0 {
                    model.reset().await.unwrap();
                    far += 1;
                }
            }
            store.shutdown().await.unwrap();
        });
    }
    run(async {
        let store = SqliteStore::open(&path).await.unwrap();
        for (model, fold) in read_models(&path, &store).iter().zip(&mut folds) {
            assert_eq!(model.catch_up().await.unwrap(), log.len() as u64);
            violations.extend(wrong(model, fold, &log).await);
        }
        store.shutdown().await.unwrap();
    });
    Row { rounds, kills, seeds: 1, acknowledged: log.len() as u64, ..Row::default() }.close(test, &violations);
    assert!(log.len() as u64 > rounds && far > 0, "{} events, {far} resets: is anyone writing?", log.len());
    assert!(kills > rounds * 2, "only {kills} processes were still there to be killed");
}
