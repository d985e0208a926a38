//! Streams that are not, or no longer, a copy of the store.

use async_nats::jetstream::stream::Config;
use es_core::{EventLog, Filter, Retry, Runner, runner::Running};
use es_nats::{Envelope, Relay, Subscription};
use es_sqlite::SqliteStore;

use crate::support::{
    Rig, STREAM, append, assert_equal, faulted, faulted_as, fill, log, malformed, messages, reached, until,
};

fn run(store: &SqliteStore, relay: &Relay) -> Running {
    Runner::new(store.clone()).run(relay.clone()).start().unwrap()
}

/// A copy of the store's file as it is now.
async fn backup(rig: &Rig, name: &str) -> SqliteStore {
    let path = rig.path(name);
    rig.store.backup(&path).await.unwrap();
    SqliteStore::open(path).await.unwrap()
}

async fn relay_of(rig: &Rig, store: &SqliteStore) -> Relay {
    Relay::builder(&rig.nats().await).stream(STREAM).build(store).await.unwrap()
}

async fn relayed(rig: &Rig, head: u64) {
    fill(&rig.store, head).await;
    let running = rig.start().await;
    rig.equal(&running).await;
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_restored_to_an_older_state_overwrites_nothing_until_it_is_told_to() {
    let rig = Rig::new().await;
    fill(&rig.store, 100).await;
    let older = backup(&rig, "older.db").await;
    relayed(&rig, 200).await;
    let before = messages(&rig.stream().await).await;

    let relay = relay_of(&rig, &older).await;
    let running = run(&older, &relay);
    let said = faulted(&running).await;
    assert!(said.contains("diverged") && said.contains("up to 200") && said.contains("ends at 100"), "{said}");
    assert!(said.contains("restore a newer store") && said.contains("reseed()"), "{said}");
    assert_eq!(relay.status().problem.as_deref(), Some(&*said));

    // It goes on, and is ahead of the stream, with other events.
    for id in 500..520 {
        append(&older, id, 7).await;
    }
    running.resume("relay:bank").unwrap();
    let said = faulted(&running).await;
    assert!(said.contains("at 101, it has another event than the store"), "{said}");
    assert_eq!(messages(&rig.stream().await).await, before, "nothing was overwritten");

    relay.reseed().await.unwrap();
    running.resume("relay:bank").unwrap();
    let head = older.head().await.unwrap();
    reached(&running, |status| status.checkpoint == head).await;
    assert_equal(&rig.stream().await, &older).await;
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_store_that_the_stream_is_not_ahead_of_goes_on() {
    let rig = Rig::new().await;
    relayed(&rig, 100).await;
    fill(&rig.store, 150).await;
    let restored = backup(&rig, "restored.db").await;
    let relay = relay_of(&rig, &restored).await;
    let running = run(&restored, &relay);
    reached(&running, |status| status.checkpoint == 150).await;
    assert!(relay.verify().await.unwrap().is_equal());
    assert_eq!(messages(&rig.stream().await).await.len(), log(&restored).await.len());
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_the_stream_goes_on_in_the_next_epoch_and_the_former_store_s_relay_stops() {
    let rig = Rig::new().await;
    relayed(&rig, 100).await;
    let restored = rig.restored().await;
    let epoch = restored.identity().epoch;
    fill(&restored, 150).await;
    let relay = relay_of(&rig, &restored).await;
    let running = run(&restored, &relay);
    reached(&running, |status| status.checkpoint == 150).await;
    running.shutdown().await;
    assert!(relay.verify().await.unwrap().is_equal());
    let epochs: Vec<_> = messages(&rig.stream().await)
        .await
        .into_iter()
        .map(|(_, _, body)| Envelope::decode(&body).unwrap().store.epoch)
        .collect();
    assert_eq!(epochs, [[0; 100].as_slice(), [epoch; 50].as_slice()].concat());

    let running = rig.start().await;
    let said = faulted(&running).await;
    assert!(said.contains(&format!("it is of epoch {epoch} of the store, this one is of epoch 0")), "{said}");
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_stream_is_made_anew_only_when_it_is_told_to() {
    let rig = Rig::new().await;
    fill(&rig.store, 50).await;
    let relay = rig.relay().await;
    let running = run(&rig.store, &relay);
    rig.equal(&running).await;
    rig.jetstream().await.delete_stream(STREAM).await.unwrap();
    append(&rig.store, 1, 1).await;
    let said = faulted(&running).await;
    assert!(said.contains("it is gone, though it had events up to 50") && said.contains("reseed()"), "{said}");
    assert!(rig.jetstream().await.get_stream(STREAM).await.is_err());
    relay.reseed().await.unwrap();
    running.resume("relay:bank").unwrap();
    rig.equal(&running).await;
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_or_purged_stream_is_filled_only_when_it_is_told_to() {
    for purged in [false, true] {
        let rig = Rig::new().await;
        let relay = Relay::builder(&rig.nats().await).stream(STREAM).config(|stream| stream.deny_purge = false);
        let relay = relay.build(&rig.store).await.unwrap();
        fill(&rig.store, 50).await;
        let running = run(&rig.store, &relay);
        rig.equal(&running).await;
        running.pause("relay:bank").await.unwrap();
        let stream = rig.stream().await;
        if purged {
            stream.purge().sequence(30).await.unwrap();
        } else {
            let config = stream.cached_info().config.clone();
            rig.jetstream().await.delete_stream(STREAM).await.unwrap();
            let jetstream = rig.jetstream().await;
            while jetstream.create_stream(&config).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
        running.shutdown().await;
        append(&rig.store, 1, 1).await;
        let running = run(&rig.store, &relay);
        let said = faulted(&running).await;
        let expected =
            if purged { "its events before 30 were purged" } else { "it is empty, though it had events up to 50" };
        assert!(said.contains(expected) && said.contains("reseed()"), "{said}");
        relay.reseed().await.unwrap();
        running.resume("relay:bank").unwrap();
        rig.equal(&running).await;
        running.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_another_store_is_left_alone() {
    let (rig, other) = (Rig::new().await, Rig::new().await);
    relayed(&rig, 20).await;
    fill(&other.store, 50).await;
    let relay = relay_of(&rig, &other.store).await;
    let running = run(&other.store, &relay);
    let said = faulted(&running).await;
    let (theirs, ours) = (rig.store.identity().id, other.store.identity().id);
    assert!(said.contains(&theirs.to_string()) && said.contains(&ours.to_string()), "{said}");
    assert!(said.contains("a stream name of its own"), "{said}");
    assert!(relay.reseed().await.unwrap_err().to_string().contains("a stream name of its own"));
    assert_equal(&rig.stream().await, &rig.store).await;
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_no_relay_has_made_or_of_other_settings_is_refused() {
    let rig = Rig::new().await;
    let jetstream = rig.jetstream().await;
    let by_hand = Config { name: STREAM.into(), subjects: vec!["evt.>".into()], ..Config::default() };
    jetstream.create_stream(&by_hand).await.unwrap();
    let running = rig.start().await;
    let said = faulted(&running).await;
    assert!(said.contains("no relay has made it"), "{said}");
    running.shutdown().await;

    let other = rig.relay_to("other").await;
    rig.run_until_equal(&other, "other").await;
    let nats = rig.nats().await;
    let aging = Relay::builder(&nats).stream("other").prefix("other").max_age(std::time::Duration::from_secs(9));
    let aging = aging.build(&rig.store).await.unwrap();
    let running = run(&rig.store, &aging);
    let said = faulted_as(&running, "relay:other").await;
    assert!(said.contains("max_age is none, not 9s"), "{said}");
    let problem = aging.status().endpoint_problem.unwrap();
    assert!(problem.contains("has not compared the stream with its store yet"), "{problem}");
    running.shutdown().await;

    let taken = Relay::builder(&nats).stream("third").build(&rig.store).await.unwrap();
    let running = run(&rig.store, &taken);
    let said = faulted_as(&running, "relay:third").await;
    assert!(said.contains("refused by NATS") && said.contains("third"), "{said}");
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_someone_else_has_published_stops_the_relay() {
    for (headers, expected) in [
        (&b"NATS/1.0\r\nX: a\r\n\r\n"[..], "at 21, it has no envelope"),
        (malformed::PANICS, "at 21, it can't be read"),
    ] {
        let rig = Rig::new().await;
        fill(&rig.store, 20).await;
        let running = rig.start().await;
        rig.equal(&running).await;
        malformed::send(&rig.server, "evt.a.b.c.d.e", headers).await;
        fill(&rig.store, 40).await;
        let said = faulted(&running).await;
        assert!(said.contains(expected), "{said}");
        running.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_were_deleted_in_the_middle_are_found() {
    let rig = Rig::new().await;
    let relay = Relay::builder(&rig.nats().await).stream(STREAM).config(|stream| stream.deny_delete = false);
    let relay = relay.build(&rig.store).await.unwrap();
    fill(&rig.store, 50).await;
    let running = run(&rig.store, &relay);
    rig.equal(&running).await;
    running.shutdown().await;
    let stream = rig.stream().await;
    for sequence in [17, 18, 30] {
        stream.delete_message(sequence).await.unwrap();
    }
    fill(&rig.store, 60).await;
    let running = run(&rig.store, &relay);
    reached(&running, |status| status.checkpoint == 60).await;
    let found = relay.verify().await.unwrap();
    assert_eq!(found.missing, [17..=18, 30..=30]);
    assert_eq!((found.first, found.last, found.is_equal()), (1, 60, false));
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_has_stopped_at_another_log_hands_out_no_events_of_its_store_and_says_why() {
    let rig = Rig::new().await;
    let nats = rig.nats().await;
    let relay_of = async |store: &SqliteStore| {
        let relay = Relay::builder(&nats).stream(STREAM).config(|stream| stream.deny_delete = false);
        relay.build(store).await.unwrap()
    };
    fill(&rig.store, 10).await;
    let older = backup(&rig, "older.db").await;
    fill(&rig.store, 20).await;
    let relay = relay_of(&rig.store).await;
    rig.run_until_equal(&relay, STREAM).await;
    rig.stream().await.delete_message(15).await.unwrap();
    let readers = Subscription::open(&nats, STREAM).await.unwrap();

    append(&older, 500, 10).await;
    let wrong = relay_of(&older).await;
    let running = run(&older, &wrong);
    let said = faulted(&running).await;
    assert!(said.contains("at 11, it has another event"), "{said}");
    for filter in [Filter::all(), Filter::all().stream_types(["bank.v1.Account"])] {
        let error = readers.read_all(10, 20, &filter).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Safe);
        assert!(error.to_string().contains("no message 15, and it can't be fetched from its store"), "{error}");
        assert!(error.to_string().contains(&said), "{error}");
    }
    assert_eq!(wrong.status().endpoint_problem, Some(said));
    running.shutdown().await;

    let running = run(&rig.store, &relay);
    rig.relayed(&running).await;
    until("the event", async || readers.read_all(10, 20, &Filter::all()).await.is_ok()).await;
    assert_eq!(readers.read_all(10, 20, &Filter::all()).await.unwrap().events, log(&rig.store).await[10..]);
    assert_eq!(relay.status().endpoint_problem, None);
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_with_which_a_stream_could_be_no_copy_are_refused_at_once() {
    let rig = Rig::new().await;
    let nats = rig.nats().await;
    let relay = Relay::builder(&nats).config(|stream| stream.max_messages_per_subject = 1);
    let error = relay.build(&rig.store).await.unwrap_err().to_string();
    assert!(error.contains("a limit of messages per subject"), "{error}");
    for (name, prefix) in [("a.b", "evt"), ("", "evt"), ("bank", "evt.*"), ("bank", "")] {
        let error = Relay::builder(&nats).stream(name).prefix(prefix).build(&rig.store).await.unwrap_err();
        assert!(matches!(error, es_core::Error::InvalidId { .. }), "{error}");
    }
}
