//! A connection that has ended for good: all who share it go on with another.

mod support;

use std::time::{Duration, Instant};

use bank::bank::v1::AccountCommandServiceClient;
use es_core::{Error, EventLog, Filter, Runner};
use es_nats::{Nats, NatsOptions, NatsTransport, Relay, Subscription};
use futures_util::{StreamExt, TryStreamExt};
use prost::Message as _;
use support::{
    PATIENCE, Rig, STREAM, Teller, append, connect, deposit, fill, log, malformed, memory, serve, until, within,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_under_way_is_sent_again_and_carried_out_once() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (store, teller) = (memory(), Teller::who_waits());
    let _serving = serve(&server, &teller, store.clone(), |server| server).await;
    let nats = connect(&server).await;
    let accounts = AccountCommandServiceClient::new(NatsTransport::new(&nats));
    for calls in 1..=2 {
        let call = tokio::spawn(accounts.deposit(deposit("a", 1)).into_future());
        until("the command to arrive", async || teller.asked() >= calls).await;
        malformed::end(&server, &nats).await;
        malformed::healed(&nats).await;
        teller.may.add_permits(10);
        let reply = within("the answer", call).await.unwrap().unwrap();
        assert_eq!((reply.receipt().version, store.head().await.unwrap()), (calls as u64, calls as u64));
        teller.may.forget_permits(10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_goes_on_and_hands_out_stored_events_again() {
    let rig = Rig::new().await;
    let nats = rig.nats().await;
    let relay = Relay::builder(&nats).stream(STREAM).build(&rig.store).await.unwrap();
    let running = Runner::new(rig.store.clone()).run(relay.clone()).start().unwrap();
    for head in [100, 200] {
        fill(&rig.store, head).await;
        rig.equal(&running).await;
        malformed::end(&rig.server, &nats).await;
        malformed::healed(&nats).await;
    }
    fill(&rig.store, 300).await;
    rig.equal(&running).await;
    assert!(relay.verify().await.unwrap().is_equal());

    let client = async_nats::connect(rig.server.url()).await.unwrap();
    let subject = format!("es.store.{}.events", rig.store.identity().id);
    let request = es_core::wire::ReadEventRequest { position: 7, offset: 0 }.encode_to_vec();
    until("a stored event", async || {
        let Ok(answer) = client.request(subject.clone(), request.clone().into()).await else { return false };
        let answer = es_core::wire::ReadEventResponse::decode(answer.payload).unwrap();
        answer.error.is_none() && answer.chunk.len() as u64 == answer.size
    })
    .await;
    assert_eq!(relay.status().endpoint_problem, None);
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_goes_on_with_every_event_once_and_hears_of_new_ones() {
    let rig = Rig::new().await;
    let relaying = rig.start().await;
    fill(&rig.store, 100).await;
    rig.equal(&relaying).await;
    let nats = rig.nats().await;
    let subscription = Subscription::open(&nats, STREAM).await.unwrap();
    let filters = [Filter::all(), Filter::all().stream_types(["bank.v1.Account"])];
    let mut readers = filters.map(|filter| subscription.events(0, filter));
    let mut got = [Vec::new(), Vec::new()];
    for head in [100, 130, 160] {
        fill(&rig.store, head).await;
        for (reader, got) in readers.iter_mut().zip(&mut got) {
            while (got.len() as u64) < head {
                got.push(within("an event", reader.try_next()).await.unwrap().unwrap());
            }
        }
        malformed::end(&rig.server, &nats).await;
        malformed::healed(&nats).await;
    }
    for got in got {
        assert_eq!(got, log(&rig.store).await);
    }

    let mut watching = subscription.watch();
    let head = append(&rig.store, 1, 1).await;
    within("the head", watching.wait_for(|seen| *seen == head)).await.unwrap();
    assert_eq!(subscription.head().await.unwrap(), head);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_long_as_there_is_no_other_connection_that_is_said() {
    let mut rig = Rig::new().await;
    let nats = rig.nats().await;
    let relay = Relay::builder(&nats).stream(STREAM).build(&rig.store).await.unwrap();
    let running = Runner::new(rig.store.clone()).run(relay.clone()).start().unwrap();
    fill(&rig.store, 10).await;
    rig.equal(&running).await;
    malformed::end(&rig.server, &nats).await;
    rig.server.kill();
    until("the relay to say so", async || relay.status().problem.is_some_and(|why| why.contains("not connected")))
        .await;
    let accounts = AccountCommandServiceClient::new(NatsTransport::new(&nats));
    let error = accounts.deposit(deposit("a", 1)).timeout(Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");

    rig.server.restart().await.unwrap();
    fill(&rig.store, 20).await;
    rig.equal(&running).await;
    assert_eq!(relay.status().problem, None);
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_another_connection_is_told_so_and_goes_on_when_let_in() {
    let users = |password: &str| {
        let all = format!("{{ user: all, password: {password} }}");
        format!("no_auth_user: any\nauthorization {{ users: [{all}, {{ user: any, password: p }}] }}")
    };
    let server = test_servers::NatsServer::builder().config(&users("right")).start().await.unwrap();
    let mut rig = Rig::with(server).await;
    let options = NatsOptions::new(rig.server.url()).user_and_password("all", "right");
    let nats = Nats::connect(options).await.unwrap();
    let relay = Relay::builder(&nats).stream(STREAM).build(&rig.store).await.unwrap();
    let running = Runner::new(rig.store.clone()).run(relay.clone()).start().unwrap();
    fill(&rig.store, 10).await;
    rig.relayed(&running).await;
    malformed::end(&rig.server, &nats).await;
    rig.server.restart_with(|builder| builder.replace_config(&users("another"))).await.unwrap();
    let accounts = AccountCommandServiceClient::new(NatsTransport::new(&nats));
    let call = accounts.deposit(deposit("a", 1)).timeout(PATIENCE);
    let error = within("the refusal", call.into_future()).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { .. }), "{error}");
    let refused = async || relay.status().problem.is_some_and(|why| why.contains("check the credentials"));
    until("the relay to say so", refused).await;

    rig.server.reload_with(|builder| builder.replace_config(&users("right"))).await.unwrap();
    fill(&rig.store, 20).await;
    rig.relayed(&running).await;
    assert!(relay.verify().await.unwrap().is_equal());
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_end_one_after_the_other_are_made_again_with_growing_pauses() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let nats = connect(&server).await;
    let (begun, mut ends) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(3) {
        malformed::healed(&nats).await;
        malformed::end(&server, &nats).await;
        ends += 1;
    }
    // The first pauses are 0.1, 0.2, 0.4, 0.8 and 1.6 s, each a quarter more or less.
    assert!((3..=7).contains(&ends), "{ends} connections ended");
}

/// It ends every connection that it is delivered over, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_in_the_stream_that_can_not_be_read_is_met_now_and_then_and_others_get_through() {
    let rig = Rig::new().await;
    let relaying = rig.start().await;
    fill(&rig.store, 20).await;
    rig.equal(&relaying).await;
    relaying.shutdown().await;
    let (teller, store) = (Teller::default(), memory());
    let _serving = serve(&rig.server, &teller, store, |server| server).await;
    let nats = rig.nats().await;
    let accounts = AccountCommandServiceClient::new(NatsTransport::new(&nats));
    let subscription = Subscription::open(&nats, STREAM).await.unwrap();
    let mut events = subscription.events(0, Filter::all());
    for _ in 0..20 {
        within("an event", events.next()).await.unwrap().unwrap();
    }
    let connections = async || rig.server.monitor("/varz").await.unwrap()["total_connections"].as_u64().unwrap();
    let before = connections().await;
    malformed::send(&rig.server, "evt.a.b.c.d.e", malformed::PANICS).await;
    let reading = tokio::spawn(async move { events.next().await });
    tokio::time::sleep(Duration::from_secs(3)).await;
    let made = connections().await - before;
    assert!((2..=9).contains(&made), "{made} connections in 3 s, one of which sent the message");
    within("an answer", accounts.deposit(deposit("a", 1)).into_future()).await.unwrap();
    assert!(!reading.is_finished());
    reading.abort();
}

#[tokio::test]
async fn a_connection_that_no_one_has_is_closed_and_not_made_again() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let nats = connect(&server).await;
    let varz = async |what: &str| server.monitor("/varz").await.unwrap()[what].as_u64().unwrap();
    let made = varz("total_connections").await;
    drop(nats);
    until("it to be closed", async || varz("connections").await == 0).await;
    // Longer than the first pause.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!((varz("connections").await, varz("total_connections").await), (0, made));
}
