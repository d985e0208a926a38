//! The store against the one in memory, under random operations: the same answers, the same log.

mod support;

use std::sync::Arc;

use es_core::{
    AggregateId, Answer, Appended, CommandId, CommandRecord, Commit, EventLog, EventStore, Expected, Filter, Limits,
    ManualClock, MemoryStore, Metadata, NewEvent, Snapshot, StreamKey, Tenant, Timestamp,
};
use es_sqlite::SqliteStore;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Operation {
    Append { tenant: u8, streams: Vec<OneStream>, command: Option<(u8, u8)>, principal: bool },
    Snapshot { stream: u8, version: u64 },
    Reopen,
    Read { after: u64, limit: usize, filter: u8 },
}

#[derive(Clone, Debug)]
struct OneStream {
    id: u8,
    expected: u8,
    events: Vec<(u8, Option<(u8, bool)>)>,
}

fn operation() -> impl Strategy<Value = Operation> {
    let event = (any::<u8>(), proptest::option::weighted(0.3, (0..4_u8, any::<bool>())));
    let one = (0..5_u8, 0..8_u8, prop::collection::vec(event, 0..4)).prop_map(|(id, expected, events)| OneStream {
        id,
        expected,
        events,
    });
    let command = proptest::option::weighted(0.4, (0..6_u8, 0..2_u8));
    prop_oneof![
        12 => (0..3_u8, prop::collection::vec(one, 0..3), command, any::<bool>())
            .prop_map(|(tenant, streams, command, principal)| Operation::Append { tenant, streams, command, principal }),
        2 => (0..5_u8, 1..9_u64).prop_map(|(stream, version)| Operation::Snapshot { stream, version }),
        1 => Just(Operation::Reopen),
        3 => (0..60_u64, 0..9_usize, 0..4_u8).prop_map(|(after, limit, filter)| Operation::Read { after, limit, filter }),
    ]
}

fn tenant(tenant: u8) -> Option<Tenant> {
    (tenant > 0).then(|| Tenant::new(format!("t{tenant}")).unwrap())
}

fn stream(of: u8, id: u8) -> StreamKey {
    // Two types share their ids.
    let kind = ["bank.v1.Account", "bank.v1.Loan"][usize::from(id % 2)];
    StreamKey::new(tenant(of), kind, AggregateId::new(format!("s{}", id / 2)).unwrap())
}

fn commit(of: u8, streams: &[OneStream], command: Option<(u8, u8)>, principal: bool) -> Commit {
    let mut metadata = Metadata::default();
    metadata.tenant = tenant(of);
    if principal {
        metadata = metadata.principal("alice").entry("channel", "web");
    }
    let mut commit = Commit::new(metadata);
    for one in streams {
        let expected = match one.expected {
            0 => Expected::NoStream,
            1 => Expected::StreamExists,
            2..=4 => Expected::Any,
            version => Expected::Exact(u64::from(version) - 5),
        };
        let events = one.events.iter().map(|(payload, claim)| {
            let event = NewEvent::raw(["bank.v1.A", "bank.v1.B"][usize::from(payload % 2)], vec![*payload; 3]);
            match claim {
                Some((key, false)) => event.claim("email", key.to_string()),
                Some((key, true)) => event.release("email", key.to_string()),
                None => event,
            }
        });
        commit = commit.and(stream(of, one.id), expected, events.collect());
    }
    match command {
        Some((id, payload)) => commit.command(CommandRecord {
            id: CommandId::new(format!("c{id}")).unwrap(),
            payload_hash: [payload; 32],
            answer: if payload == 0 { Answer::Accepted(vec![id]) } else { Answer::Rejected(vec![id, id]) },
            stream: stream(of, 0),
            version: 1,
        }),
        None => commit,
    }
}

fn words(answer: Result<Appended, es_core::Error>) -> String {
    format!("{answer:?}")
}

async fn run(operations: Vec<Operation>) {
    let (_folder, path) = support::folder();
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1)));
    let memory = MemoryStore::with(Limits::default(), Arc::clone(&clock));
    let open = async || SqliteStore::builder(&path).clock(Arc::clone(&clock)).readers(1).open().await.unwrap();
    let mut sqlite = open().await;
    let filters = [
        Filter::all(),
        Filter::all().tenant(tenant(1).unwrap()),
        Filter::all().stream_types(["bank.v1.Loan"]),
        Filter::all().event_types(["bank.v1.A"]),
    ];
    for operation in operations {
        clock.advance(std::time::Duration::from_micros(1));
        match operation {
            Operation::Append { tenant, streams, command, principal } => {
                let commit = commit(tenant, &streams, command, principal);
                let (expected, actual) = (memory.append(commit.clone()).await, sqlite.append(commit.clone()).await);
                assert_eq!(words(actual), words(expected), "{commit:?}");
            }
            Operation::Snapshot { stream: id, version } => {
                // One of a state that is not committed is a mistake of its maker; stores may keep it or not.
                if version > memory.version(&stream(0, id)).await.unwrap() {
                    continue;
                }
                let snapshot = Snapshot { stream: stream(0, id), fingerprint: 1, version, state: vec![id] };
                memory.offer_snapshot(snapshot.clone());
                sqlite.offer_snapshot(snapshot);
            }
            Operation::Reopen => {
                sqlite.shutdown().await.unwrap();
                sqlite = open().await;
            }
            Operation::Read { after, limit, filter } => {
                // Pages may differ in size; what they hold of the log may not.
                let filter = &filters[usize::from(filter)];
                assert_eq!(rest(&sqlite, after, limit, filter).await, rest(&memory, after, limit, filter).await);
            }
        }
        assert_eq!(sqlite.head().await.unwrap(), memory.head().await.unwrap());
    }
    // Nobody waits for a snapshot; an empty commit queues behind it.
    sqlite.append(Commit::default()).await.unwrap();
    for of in 0..3 {
        for id in 0..5 {
            let stream = stream(of, id);
            assert_eq!(sqlite.version(&stream).await.unwrap(), memory.version(&stream).await.unwrap());
            for after in [0, 2] {
                assert_eq!(folded(&sqlite, &stream, after).await, folded(&memory, &stream, after).await);
            }
            let (actual, expected) = (sqlite.snapshot(&stream, 1).await, memory.snapshot(&stream, 1).await);
            assert_eq!(actual.unwrap(), expected.unwrap());
        }
        for key in 0..4 {
            let (tenant, key) = (tenant(of), key.to_string());
            let actual = sqlite.claimant(tenant.as_ref(), "email", &key).await.unwrap();
            assert_eq!(actual, memory.claimant(tenant.as_ref(), "email", &key).await.unwrap());
        }
        for command in 0..6 {
            let (tenant, id) = (tenant(of), CommandId::new(format!("c{command}")).unwrap());
            let actual = sqlite.outcome(tenant.as_ref(), &id).await.unwrap();
            assert_eq!(actual, memory.outcome(tenant.as_ref(), &id).await.unwrap());
        }
    }
}

async fn rest(store: &dyn EventStore, mut after: u64, limit: usize, filter: &Filter) -> Vec<es_core::RecordedEvent> {
    let mut events = Vec::new();
    loop {
        let page = store.read_all(after, limit, filter).await.unwrap();
        events.extend(page.events);
        if page.scanned_to == after {
            return events;
        }
        after = page.scanned_to;
    }
}

async fn folded(store: &dyn EventStore, stream: &StreamKey, after: u64) -> (u64, Vec<String>) {
    let mut events = Vec::new();
    let mut visit = |event: es_core::RecordedRef<'_>| {
        events.push(format!("{event:?}"));
        Ok(std::ops::ControlFlow::Continue(()))
    };
    let last = store.fold(stream, after, &mut visit).await.unwrap();
    (last, events)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_in_a_file_answers_as_the_store_in_memory(operations in prop::collection::vec(operation(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(operations));
    }
}
