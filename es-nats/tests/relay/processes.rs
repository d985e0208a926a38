//! Two processes that each run a relay of one store file, and are killed or held.

use std::time::Duration;

use es_core::{Runner, runner::State};
use es_nats::{Nats, Relay};
use es_sqlite::SqliteStore;
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::{
    support::{
        NAME, Rig, STREAM, append, assert_equal, is_long,
        process::{Child, argument, role, until_orphaned},
        until,
    },
    test_name,
};

const FILE: &str = "ES_NATS_FILE";
const URL: &str = "ES_NATS_URL";

/// Says whether it is the one at work, each time that changes, until its parent is gone.
#[test]
fn one_of_two() {
    if role().is_none() {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = SqliteStore::open(argument(FILE)).await.unwrap();
        let nats = Nats::connect(argument(URL)).await.unwrap();
        let lease = Duration::from_millis(300);
        let relay = Relay::builder(&nats).stream(STREAM).lease(lease).build(&store).await.unwrap();
        let running = Runner::new(store).run(relay).start().unwrap();
        let mut changes = running.changes(NAME).unwrap();
        let telling = async {
            while let Some(status) = changes.next().await {
                match status.state {
                    State::Standby => println!("standby"),
                    State::Live | State::CatchingUp => println!("at work"),
                    State::Faulted(error) => println!("faulted: {error}"),
                    _ => {}
                }
            }
        };
        tokio::select! {
            () = telling => {}
            () = until_orphaned() => {}
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_the_other_takes_over_whenever_the_one_at_work_is_killed_or_held() {
    let rig = Rig::new().await;
    let (file, url) = (rig.store.path().to_str().unwrap().to_owned(), rig.server.url());
    let start = || Child::start(test_name!(one_of_two), "relays", &[(FILE, &file), (URL, &url)]);
    let store = rig.store.clone();
    let appending = tokio::spawn(async move {
        for id in 0.. {
            append(&store, id, 1 + id as usize % 30).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let mut relays = [start(), start()];
    let mut taken_over = 0;
    for round in 0..if is_long() { 100 } else { 6 } {
        let mut at_work = None;
        until("one to be at work", async || {
            at_work = relays.iter().position(|relay| relay.last() == "at work");
            at_work.is_some()
        })
        .await;
        let at_work = at_work.unwrap();
        tokio::time::sleep(Duration::from_millis(round * 13 % 50)).await;
        if round % 3 == 2 {
            // It goes on where it was when the other has taken over; unless it is held while it has the file locked.
            relays[at_work].signal("-STOP");
            let other = async || relays[1 - at_work].last() == "at work";
            taken_over += u32::from(timeout(Duration::from_secs(2), until("the other", other)).await.is_ok());
            relays[at_work].signal("-CONT");
        } else {
            std::mem::replace(&mut relays[at_work], start()).kill();
        }
        is_relayed(&rig).await;
    }
    assert!(taken_over > 0);
    appending.abort();
    let _ = appending.await;
    is_relayed(&rig).await;
    assert_equal(&rig.stream().await, &rig.store).await;
    for relay in relays {
        assert!(!relay.last().contains("faulted"), "{}", relay.last());
    }
}

/// Waits until an event that is recorded now is in the stream.
async fn is_relayed(rig: &Rig) {
    let head = append(&rig.store, 0, 1).await;
    let jetstream = rig.jetstream().await;
    until("the event in the stream", async || {
        let stream = jetstream.get_stream(STREAM).await;
        stream.is_ok_and(|stream| stream.cached_info().state.last_sequence >= head)
    })
    .await;
}
