//! Opened before there is something to open.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use es_core::{Error, EventLog, Runner, runner::State};
use es_nats::{Nats, NatsOptions, Subscription};
use test_servers::NatsServer;
use tokio::task::JoinHandle;

use crate::support::{NAME, Rig, STREAM, append, until, within};

fn opening(nats: &Nats) -> JoinHandle<es_core::Result<Subscription>> {
    let nats = nats.clone();
    tokio::spawn(async move { Subscription::open_when_there(&nats, STREAM).await })
}

/// Waits until the server was asked for the stream at least so often more.
async fn asked(rig: &Rig, times: u64) {
    let (jetstream, asked) = (rig.jetstream().await, async |it: &async_nats::jetstream::Context| {
        it.query_account().await.unwrap().requests.total
    });
    let before = asked(&jetstream).await;
    // Each look is a request as well.
    let mut looks = 0;
    until("it asks", async || {
        looks += 1;
        asked(&jetstream).await >= before + looks + times
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_waited_for_also_while_the_server_is_away() {
    let mut rig = Rig::new().await;
    append(&rig.store, 1, 3).await;
    let opening = opening(&rig.nats().await);
    asked(&rig, 2).await;
    rig.server.kill();
    rig.server.restart().await.unwrap();
    asked(&rig, 2).await;
    assert!(!opening.is_finished());
    let running = rig.start().await;
    let subscription = within("it is opened", opening).await.unwrap().unwrap();
    rig.relayed(&running).await;
    until("it is the relay's", async || subscription.head().await.unwrap() == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_relays_stream_is_not_waited_for() {
    let rig = Rig::new().await;
    let opening = opening(&rig.nats().await);
    let config = Config { name: STREAM.into(), subjects: vec!["foreign.>".into()], ..Config::default() };
    rig.jetstream().await.create_stream(config).await.unwrap();
    let error = within("it ends", opening).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Diverged { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_look_at_the_stream_is_told_at_once() {
    let users = "authorization { users: [ { user: web, password: x, permissions: { publish: [\"x\"] } } ] }";
    let server = NatsServer::builder().config(users).start().await.unwrap();
    let nats = Nats::connect(NatsOptions::new(server.url()).user_and_password("web", "x")).await.unwrap();
    let opened = tokio::time::timeout(Duration::from_secs(4), opening(&nats)).await.expect("sooner than no answer");
    let error = opened.unwrap().unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(error.to_string().contains("Permissions Violation for Publish to \"$JS.API.STREAM.INFO.bank\""), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_waited_for_and_a_wrong_password_is_not() {
    let users = "authorization { user: bank, password: x }";
    let mut server = NatsServer::builder().config(users).start().await.unwrap();
    let options = |password: &str| NatsOptions::new(server.url()).user_and_password("bank", password);
    let (right, wrong) = (options("x"), options("y"));
    server.kill();
    let connecting = [right, wrong].map(|options| tokio::spawn(Nats::connect_when_there(options)));
    server.restart().await.unwrap();
    let [right, wrong] = connecting;
    within("it connects", right).await.unwrap().unwrap();
    let error = within("it is refused", wrong).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_jetstream_is_named_as_that_and_waited_for() {
    // Switched off for all, and for one account.
    let one_account = "accounts { A { users: [ { user: a, password: x } ] } }\nno_auth_user: a";
    for server in [NatsServer::builder().jetstream(false), NatsServer::builder().config(one_account)] {
        let rig = Rig::with(server.start().await.unwrap()).await;
        let told = |said: &str| said.contains("JetStream") && said.contains("not enabled") && said.contains("-js");

        let error = Subscription::open(&rig.nats().await, STREAM).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }) && told(&error.to_string()), "{error}");

        let relay = rig.relay().await;
        let running = Runner::new(rig.store.clone()).run(relay.clone()).start().unwrap();
        until("the relay says so", async || relay.status().problem.is_some_and(|problem| told(&problem))).await;
        assert!(!matches!(running.status(NAME).unwrap().state, State::Faulted(_)), "it goes on when there is one");
        running.shutdown().await;
    }
}
