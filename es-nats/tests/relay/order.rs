//! The stream is the store, in order.

use std::time::Duration;

use es_core::{EventLog, runner::State};
use es_nats::{Nats, Relay};
use test_servers::{NatsServer, NatsVersion};

use crate::support::{NAME, Rig, STREAM, append, fill, log, messages, reached};

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_has_every_event_in_order_on_each_supported_server() {
    for version in [NatsVersion::Newest, NatsVersion::Older] {
        let rig = Rig::with(NatsServer::builder().version(version).start().await.unwrap()).await;
        fill(&rig.store, 3_000).await;
        let running = rig.start().await;
        rig.equal(&running).await;
        for id in 0..50 {
            append(&rig.store, id, 1 + id as usize % 3).await;
        }
        rig.equal(&running).await;
        running.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_in_the_stream_once_it_was_waited_for() {
    let rig = Rig::new().await;
    let running = rig.start().await;
    reached(&running, |status| matches!(status.state, State::Live)).await;
    for id in 0..20 {
        let position = append(&rig.store, id, 1).await;
        reached(&running, |status| status.checkpoint >= position).await;
        let info = rig.stream().await.cached_info().clone();
        assert_eq!(info.state.last_sequence, position);
    }
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_started_again_goes_on_where_the_stream_ends_also_within_a_commit() {
    let rig = Rig::new().await;
    fill(&rig.store, 500).await;
    let running = rig.start().await;
    rig.equal(&running).await;
    running.shutdown().await;
    // The messages of a commit's first half are there, those of its second are not: as a crash leaves it.
    append(&rig.store, 1, 40).await;
    let other = rig.relay_to("other").await;
    rig.run_until_equal(&other, "other").await;
    let half: Vec<_> = messages(&rig.jetstream().await.get_stream("other").await.unwrap()).await;
    let jetstream = rig.jetstream().await;
    for (sequence, subject, body) in half.into_iter().filter(|(sequence, ..)| (501..=520).contains(sequence)) {
        let subject = subject.replacen("other", "evt", 1);
        let ack = jetstream.publish(subject, body).await.unwrap().await.unwrap();
        assert_eq!(ack.sequence, sequence);
    }
    let running = rig.start().await;
    rig.equal(&running).await;
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_says_that_a_stream_is_equal() {
    let rig = Rig::new().await;
    fill(&rig.store, 1_200).await;
    let relay = rig.relay().await;
    let running = es_core::Runner::new(rig.store.clone()).run(relay.clone()).start().unwrap();
    rig.equal(&running).await;
    let found = relay.verify().await.unwrap();
    assert!(found.is_equal(), "{found:?}");
    assert_eq!((found.first, found.last), (1, 1_200));
    assert_eq!((relay.status().stream.as_str(), relay.status().acknowledged), (STREAM, 1_200));
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_keeps_events_as_long_as_it_is_told_to() {
    let rig = Rig::new().await;
    fill(&rig.store, 300).await;
    let aging = || async {
        let relay = Relay::builder(&rig.nats().await).stream(STREAM).max_age(Duration::from_millis(200));
        es_core::Runner::new(rig.store.clone()).run(relay.build(&rig.store).await.unwrap()).start().unwrap()
    };
    let running = aging().await;
    reached(&running, |status| status.checkpoint == 300).await;
    running.shutdown().await;
    while rig.stream().await.cached_info().state.messages > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    append(&rig.store, 1, 1).await;
    let running = aging().await;
    reached(&running, |status| status.checkpoint == 301).await;
    assert_eq!(rig.stream().await.cached_info().state.last_sequence, 301);
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_in_one_account_have_a_stream_and_a_prefix_each() {
    let (rig, other) = (Rig::new().await, Rig::new().await);
    fill(&rig.store, 100).await;
    fill(&other.store, 50).await;
    let running = rig.start().await;
    rig.equal(&running).await;
    let nats = Nats::connect(rig.server.url()).await.unwrap();
    let relay = Relay::builder(&nats).stream("second").prefix("second.evt").build(&other.store).await.unwrap();
    let second = es_core::Runner::new(other.store.clone()).run(relay).start().unwrap();
    while second.status("relay:second").unwrap().checkpoint < 50 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let theirs = messages(&rig.jetstream().await.get_stream("second").await.unwrap()).await;
    assert_eq!(theirs.len(), log(&other.store).await.len());
    assert!(theirs.iter().all(|(_, subject, _)| subject.starts_with("second.evt.")));
    rig.equal(&running).await;
    assert_eq!(running.status(NAME).unwrap().checkpoint, rig.store.head().await.unwrap());
}
