//! A reader that holds the write-ahead log: appends go on, and the growth is told.

mod support;

use std::sync::{Arc, Mutex};

use es_core::{Commit, Expected, NewEvent};
use es_sqlite::{SqliteStore, rusqlite::Connection};
use support::{commit, folder, stream};
use tracing::{Event, Metadata, Subscriber, field::Visit, span};

/// Collects the warnings of the writer's thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("es_sqlite")
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 += &format!("{}={value:?} ", field.name());
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_holds_the_log_is_warned_about_while_appends_go_on() {
    let warnings = Warnings::default();
    tracing::subscriber::set_global_default(warnings.clone()).unwrap();
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).await.unwrap();
    let append = async |events: usize, n: usize| {
        let events = (0..events).map(|_| NewEvent::raw("bank.v1.Noted", vec![n as u8; 8 << 10])).collect();
        commit(&store, Commit::append(stream(&format!("s{n}")), Expected::Any, events)).await.unwrap();
    };
    append(1, 0).await;

    let hostile = Connection::open(&path).unwrap();
    hostile.execute_batch("BEGIN").unwrap();
    let seen: i64 = hostile.query_row("SELECT count(*) FROM es_events", (), |row| row.get(0)).unwrap();
    for n in 0..200 {
        append(100, n).await;
    }
    let log = std::fs::metadata(path.with_extension("db-wal")).unwrap().len();
    assert!(log > 128 << 20, "{log}");
    let told = warnings.0.lock().unwrap().join("\n");
    assert!(told.contains("the write-ahead log can't be started over"), "{told}");
    assert_eq!(told.matches("started over").count(), 1, "once until it has doubled: {told}");

    let again: i64 = hostile.query_row("SELECT count(*) FROM es_events", (), |row| row.get(0)).unwrap();
    assert_eq!(again, seen, "its view stays");
    hostile.execute_batch("COMMIT").unwrap();
    drop(hostile);
    store.shutdown().await.unwrap();
    let left = std::fs::metadata(path.with_extension("db-wal")).map_or(0, |log| log.len());
    assert_eq!(left, 0, "the last checkpoint starts it over");
}
