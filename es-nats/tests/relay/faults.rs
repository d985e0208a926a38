//! A server that dies, stands still, is away, or forgets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use es_core::{EventLog, Runner};
use es_sqlite::SqliteStore;
use test_servers::{NatsServer, NatsVersion};
use tokio::{task::JoinHandle, time::sleep};

use crate::support::{Rig, append, assert_equal, cut_the_last_block, fill, is_long, reached};

/// Appends without end, until it is told to stop; gives the longest time an append took.
struct Load(Arc<AtomicBool>, JoinHandle<Duration>);

impl Load {
    fn start(store: &SqliteStore) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, store) = (stop.clone(), store.clone());
        let appending = tokio::spawn(async move {
            let (mut id, mut longest) = (0, Duration::ZERO);
            while !told.load(Ordering::Relaxed) {
                let begun = Instant::now();
                append(&store, id, 1 + id as usize % 40).await;
                (id, longest) = (id + 1, longest.max(begun.elapsed()));
                sleep(Duration::from_millis(1)).await;
            }
            longest
        });
        Self(stop, appending)
    }

    async fn stop(self) -> Duration {
        self.0.store(true, Ordering::Relaxed);
        self.1.await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_twenty_times_under_load_has_every_event_once() {
    for version in [NatsVersion::Newest, NatsVersion::Older] {
        let mut rig = Rig::with(NatsServer::builder().version(version).start().await.unwrap()).await;
        let (running, load) = (rig.start().await, Load::start(&rig.store));
        for kill in 0..if is_long() { 100 } else { 20 } {
            let checkpoint = running.status(crate::support::NAME).unwrap().checkpoint;
            // Now and then in the first moments after a restart.
            if kill % 3 != 0 {
                reached(&running, |status| status.checkpoint > checkpoint).await;
            }
            sleep(Duration::from_millis(kill * 7 % 60)).await;
            rig.server.kill();
            rig.server.restart().await.unwrap();
        }
        load.stop().await;
        rig.equal(&running).await;
        running.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_delays_the_relay_and_no_append() {
    let mut rig = Rig::new().await;
    let relay = rig.relay().await;
    let running = Runner::new(rig.store.clone()).run(relay.clone()).start().unwrap();
    let load = Load::start(&rig.store);
    reached(&running, |status| status.checkpoint > 100).await;
    rig.server.stop_signal();
    let (before, held) = (rig.store.head().await.unwrap(), Instant::now());
    while held.elapsed() < Duration::from_secs(if is_long() { 10 } else { 2 }) {
        assert!(relay.status().outstanding <= 1_024);
        sleep(Duration::from_millis(50)).await;
    }
    assert!(rig.store.head().await.unwrap() > before + 500, "events were recorded meanwhile");
    assert!(running.status(crate::support::NAME).unwrap().lag_events > 500);
    rig.server.cont_signal();
    load.stop().await;
    rig.equal(&running).await;
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_for_long_is_caught_up_with_when_it_is_back() {
    let mut rig = Rig::new().await;
    let relay = rig.relay().await;
    let running = Runner::new(rig.store.clone()).run(relay.clone()).start().unwrap();
    fill(&rig.store, 200).await;
    reached(&running, |status| status.checkpoint == 200).await;
    rig.server.kill();
    fill(&rig.store, if is_long() { 50_000 } else { 5_000 }).await;
    let head = rig.store.head().await.unwrap();
    let status = reached(&running, |status| status.head == head && status.lag_events > 0).await;
    assert_eq!(status.lag_events, head - status.checkpoint);
    assert!(status.lag.is_some_and(|lag| !lag.is_zero()));
    assert!(relay.status().problem.is_some_and(|problem| problem.contains("NATS")));
    if is_long() {
        sleep(Duration::from_secs(60)).await;
    }
    rig.server.restart().await.unwrap();
    rig.equal(&running).await;
    assert_eq!(relay.status().problem, None);
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_has_lost_its_end_is_filled_again_also_without_a_new_event() {
    for version in [NatsVersion::Newest, NatsVersion::Older] {
        for runs_meanwhile in [false, true] {
            let mut rig = Rig::with(NatsServer::builder().version(version).start().await.unwrap()).await;
            fill(&rig.store, 1_500).await;
            let running = rig.start().await;
            rig.equal(&running).await;
            let running = match runs_meanwhile {
                true => Some(running),
                false => {
                    running.shutdown().await;
                    None
                }
            };
            rig.server.kill();
            cut_the_last_block(&rig.server);
            rig.server.restart().await.unwrap();
            let running = match running {
                Some(running) => running,
                None => {
                    let last = rig.stream().await.cached_info().state.last_sequence;
                    assert!((1..1_500).contains(&last), "the stream ends at {last}");
                    rig.start().await
                }
            };
            let deadline = Instant::now() + Duration::from_secs(30);
            while rig.stream().await.cached_info().state.last_sequence < 1_500 {
                assert!(Instant::now() < deadline, "{running:?}");
                sleep(Duration::from_millis(20)).await;
            }
            assert_equal(&rig.stream().await, &rig.store).await;
            running.shutdown().await;
        }
    }
}
