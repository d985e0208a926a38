//! How a server serves: with whom, for whom, how much at once, and until when.

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, channel},
    },
    time::Duration,
};

use bank::bank::v1::AccountCommandServiceClient;
use es_core::{Error, LocalBus, Request, Response, Result, Retry, Route, Status, Tenant};
use es_nats::{NatsServer, NatsTransport, ServingState};
use futures_util::{StreamExt, future::join_all};
use support::{SERVICE, Teller, client, connect, deposit, memory, serve, until, within};

fn tenant(name: &str) -> Tenant {
    Tenant::new(name).unwrap()
}

#[tokio::test]
async fn two_servers_over_one_store_share_the_work_and_each_command_is_carried_out_once() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (store, one, other) = (memory(), Teller::default(), Teller::default());
    let first = serve(&server, &one, store.clone(), |server| server).await;
    let _second = serve(&server, &other, store.clone(), |server| server).await;
    let accounts = client(&server).await;
    let replies = join_all((0..100).map(|n| accounts.deposit(deposit(&format!("a-{n}"), 1)).into_future())).await;
    assert!(replies.iter().all(|reply| reply.as_ref().is_ok_and(|reply| reply.receipt().version == 1)));
    assert_eq!((one.asked() + other.asked(), store.head().await.unwrap()), (100, 100));
    assert!(one.asked() > 0 && other.asked() > 0);

    first.shutdown().await;
    let before = one.asked();
    accounts.deposit(deposit("b", 1)).await.unwrap();
    assert_eq!(one.asked(), before);
}

#[tokio::test]
async fn a_server_of_another_store_is_refused() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (store, teller) = (memory(), Teller::default());
    let serving = serve(&server, &teller, store.clone(), |server| server).await;
    let nats = connect(&server).await;
    let other = memory();
    for group in ["q", "another"] {
        let started =
            NatsServer::new(&nats, &other).serve(teller.server(other.clone())).queue_group(group).start().await;
        let Err(error @ Error::Refused { .. }) = started else { panic!("{group}: {started:?}") };
        let text = error.to_string();
        for part in [store.identity().id, other.identity().id] {
            assert!(text.contains(&part.to_string()), "{text}");
        }
        assert!(text.contains("tenants()") && text.contains("two NATS accounts"), "{text}");
    }
    // It left no trace: nothing goes to it, and when the first has gone, it may take its place.
    client(&server).await.deposit(deposit("a", 1)).await.unwrap();
    assert_eq!((store.head().await.unwrap(), other.head().await.unwrap()), (1, 0));
    serving.shutdown().await;
    let _serving = serve(&server, &teller, other, |server| server).await;
}

#[tokio::test]
async fn of_servers_of_two_stores_that_start_at_once_one_stays() {
    let server = test_servers::NatsServer::start().await.unwrap();
    for _ in 0..4 {
        let teller = Teller::default();
        let (one, other) = (memory(), memory());
        let (nats, there) = (connect(&server).await, connect(&server).await);
        let (first, second) = tokio::join!(
            NatsServer::new(&nats, &one).serve(teller.server(one.clone())).start(),
            NatsServer::new(&there, &other).serve(teller.server(other.clone())).start(),
        );
        assert_eq!([first.is_ok(), second.is_ok()].iter().filter(|&&stays| stays).count(), 1, "{first:?} {second:?}");
        for serving in [first, second].into_iter().flatten() {
            serving.shutdown().await;
        }
    }
}

#[tokio::test]
async fn tenants_are_spread_over_servers_with_stores_of_their_own() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (north, south) = (memory(), memory());
    let teller = Teller::default();
    let _north = serve(&server, &teller, north.clone(), |server| server.tenants([tenant("n.1"), tenant("n.2")])).await;
    let _south = serve(&server, &teller, south.clone(), |server| server.tenants([tenant("s")])).await;
    let accounts = client(&server).await;
    for name in ["n.1", "n.2", "s"] {
        let reply = accounts.deposit(deposit("a", 1)).tenant(name).await.unwrap();
        assert_eq!(reply.receipt().stream.tenant, Some(tenant(name)));
    }
    assert_eq!((north.head().await.unwrap(), south.head().await.unwrap()), (2, 1));
    let nobodys = accounts.deposit(deposit("a", 1)).tenant("x").await;
    assert!(matches!(nobodys, Err(Error::Unavailable { .. })), "{nobodys:?}");
    let without = accounts.deposit(deposit("a", 1)).await;
    assert!(matches!(without, Err(Error::Unavailable { .. })), "{without:?}");
    // All tenants would be more than its own.
    let nats = connect(&server).await;
    let third = memory();
    let all = NatsServer::new(&nats, &third).serve(teller.server(third.clone())).start().await;
    assert!(matches!(all, Err(Error::Refused { .. })), "{all:?}");
    // Requests without a tenant are no one's yet.
    let rest = NatsServer::new(&nats, &third).serve(teller.server(third.clone())).tenants([tenant("t")]);
    let _rest = rest.without_tenant(true).start().await.unwrap();
    accounts.deposit(deposit("a", 1)).await.unwrap();
    assert_eq!(third.head().await.unwrap(), 1);
}

#[tokio::test]
async fn the_tenant_header_counts_only_where_it_is_trusted() {
    use prost::Message as _;
    let server = test_servers::NatsServer::start().await.unwrap();
    let (store, teller) = (memory(), Teller::default());
    let serving = serve(&server, &teller, store.clone(), NatsServer::trust_tenant_header).await;
    let nats = connect(&server).await;
    let ask = async |tenant: &str| {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Tenant-ID", tenant);
        let subject = format!("{SERVICE}.Deposit");
        let body = deposit("a", 1).encode_to_vec().into();
        let reply = nats.client().request_with_headers(subject, headers, body).await.unwrap();
        es_core::wire::Response::decode(reply.payload).unwrap()
    };
    assert_eq!(ask("acme").await.receipt.unwrap().tenant, "acme");
    assert_eq!(ask("two words").await.error.unwrap().code, "INVALID_ID");
    serving.shutdown().await;
    let one = |server: NatsServer| server.tenants([tenant("acme")]).without_tenant(true).trust_tenant_header();
    let serving = serve(&server, &teller, store.clone(), one).await;
    assert!(ask("acme").await.success);
    assert_eq!(ask("other").await.error.unwrap().code, "INVALID_REQUEST");
    serving.shutdown().await;
    let _serving = serve(&server, &teller, store, |server| server).await;
    assert_eq!(ask("acme").await.error.unwrap().code, "INVALID_REQUEST");
    assert_eq!(teller.asked(), 2);
}

#[tokio::test]
async fn work_is_bounded_and_what_is_beyond_is_answered_at_once() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (store, teller) = (memory(), Teller::who_waits());
    let _serving = serve(&server, &teller, store, |server| server.concurrency(3).waiting(4)).await;
    let accounts = client(&server).await;
    let mut calls: Vec<_> =
        (0..10).map(|n| tokio::spawn(accounts.deposit(deposit(&format!("a-{n}"), 1)).into_future())).collect();
    until("three to be turned away", async || calls.iter().filter(|call| call.is_finished()).count() == 3).await;
    assert_eq!(teller.asked(), 3);
    teller.may.add_permits(1);
    let mut answers = Vec::new();
    for call in calls.drain(..) {
        answers.push(within("an answer", call).await.unwrap());
    }
    let turned_away: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert_eq!(turned_away.len(), 3);
    for error in turned_away {
        assert!(matches!(error, Error::Backpressure { .. }), "{error}");
        assert_eq!(error.retry(), Retry::Safe);
    }
    assert_eq!((teller.asked(), teller.most_at_once.load(std::sync::atomic::Ordering::SeqCst)), (7, 3));
}

#[tokio::test]
async fn a_request_past_its_deadline_is_answered_and_its_place_is_free() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (store, teller) = (memory(), Teller::who_waits());
    let one = |server: NatsServer| server.concurrency(1).waiting(0).deadline(Duration::from_millis(100));
    let _serving = serve(&server, &teller, store, one).await;
    let accounts = client(&server).await;
    let error =
        within("the answer", accounts.deposit(deposit("a", 1)).command_id("c-1").into_future()).await.unwrap_err();
    let Error::OutcomeUnknown { command_id: Some(id), source: Some(source) } = &error else { panic!("{error}") };
    assert_eq!((id.as_str(), source.to_string().as_str()), ("c-1", "TIMEOUT: no answer within 100ms"));
    teller.may.add_permits(1);
    accounts.deposit(deposit("a", 1)).command_id("c-1").await.unwrap();
}

#[tokio::test]
async fn a_panic_is_answered_and_the_server_goes_on() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (store, teller) = (memory(), Teller::default());
    let serving = serve(&server, &teller, store, |server| server.concurrency(1).waiting(0).layer(Panicking)).await;
    // The layer is around nothing: what is served later is not in it.
    let accounts = client(&server).await;
    let Err(Error::Rejected(refusal)) = accounts.deposit(deposit("a", 13)).await else { panic!("not answered") };
    assert_eq!((refusal.code(), refusal.status()), ("HANDLER_PANICKED", Status::Internal));
    accounts.deposit(deposit("a", 1)).await.unwrap();
    serving.shutdown().await;

    // Middleware is not caught by a generated server.
    let (nats, store) = (connect(&server).await, memory());
    let bus = LocalBus::new().serve(teller.server(store.clone()));
    let layered = NatsServer::new(&nats, &store).bus(&bus).layer(Panicking).concurrency(1).waiting(0);
    let _serving = layered.start().await.unwrap();
    for _ in 0..2 {
        let Err(Error::Rejected(refusal)) = accounts.deposit(deposit("a", 1)).await else { panic!("not answered") };
        assert_eq!(refusal.code(), "HANDLER_PANICKED");
    }
}

/// Middleware that panics.
#[derive(Clone)]
struct Panicking;

impl tower_layer::Layer<Route> for Panicking {
    type Service = Self;

    fn layer(&self, _: Route) -> Self {
        Self
    }
}

impl tower_service::Service<Request> for Panicking {
    type Response = Response;
    type Error = Error;
    type Future = std::future::Ready<Result<Response>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request) -> Self::Future {
        panic!("told to")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_shut_down_under_load_answers_what_it_took_in_and_nothing_is_lost_or_done_twice() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (store, teller) = (memory(), Teller::default());
    let mut serving = Some(serve(&server, &teller, store.clone(), |server| server).await);
    let accounts = {
        let transport = NatsTransport::new(&connect(&server).await).attempt_timeout(Duration::from_secs(1));
        AccountCommandServiceClient::new(transport)
    };
    let clients: Vec<_> = (0..16)
        .map(|client| {
            let accounts = accounts.clone();
            tokio::spawn(async move {
                for version in 1..=200 {
                    let reply = accounts.deposit(deposit(&format!("a-{client}"), 1)).await;
                    assert_eq!(
                        reply.map_err(|error| error.to_string()).map(|reply| reply.receipt().version),
                        Ok(version)
                    );
                }
            })
        })
        .collect();
    for moves in 1..=8 {
        until("some work", async || teller.asked() >= moves * 300).await;
        let next = serve(&server, &teller, store.clone(), |server| server).await;
        if let Some(serving) = serving.replace(next) {
            within("the shutdown", serving.shutdown()).await;
        }
    }
    for client in clients {
        within("a client", client).await.unwrap();
    }
    assert_eq!(store.head().await.unwrap(), 16 * 200);
}

#[tokio::test]
async fn a_server_that_is_shut_down_answers_those_under_way_and_is_gone() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (store, teller) = (memory(), Teller::who_waits());
    let serving = serve(&server, &teller, store, |server| server.concurrency(1)).await;
    assert_eq!(serving.state(), ServingState::Serving);
    let accounts = client(&server).await;
    let calls: Vec<_> = (0..4).map(|_| tokio::spawn(accounts.deposit(deposit("a", 1)).into_future())).collect();
    until("the first to be worked on", async || teller.asked() == 1).await;
    // All four were sent before this, over one connection.
    client(&server).await.deposit(deposit("b", 1)).timeout(Duration::from_millis(100)).await.unwrap_err();
    let stopping = tokio::spawn(serving.shutdown());
    teller.may.add_permits(1);
    for call in calls {
        within("an answer", call).await.unwrap().unwrap();
    }
    within("the shutdown", stopping).await.unwrap();
    let error = accounts.deposit(deposit("a", 1)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn a_server_is_shut_down_while_nats_is_away() {
    let mut server = test_servers::NatsServer::start().await.unwrap();
    let (store, teller) = (memory(), Teller::who_waits());
    let serving = serve(&server, &teller, store.clone(), |server| server).await;
    let accounts = client(&server).await;
    let _call = tokio::spawn(accounts.deposit(deposit("a", 1)).into_future());
    until("the command to arrive", async || teller.asked() == 1).await;
    server.kill();
    teller.may.add_permits(1);
    within("the shutdown", serving.shutdown()).await;
    assert_eq!(store.head().await.unwrap(), 1);
}

#[tokio::test]
async fn a_server_shows_itself_to_the_tools_of_nats() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (store, teller) = (memory(), Teller::default());
    let _serving = serve(&server, &teller, store.clone(), |server| server.queue_group("bank")).await;
    client(&server).await.deposit(deposit("a", 1)).await.unwrap();
    let nats = connect(&server).await;
    let ask = async |verb: &str| {
        let reply =
            nats.client().request(format!("$SRV.{verb}.bank-v1-AccountCommandService"), "".into()).await.unwrap();
        serde_json::from_slice::<serde_json::Value>(&reply.payload).unwrap()
    };
    let ping = ask("PING").await;
    assert_eq!(ping["type"], "io.nats.micro.v1.ping_response");
    let info = ask("INFO").await;
    assert_eq!(info["metadata"]["store-id"], store.identity().id.to_string());
    let endpoints = info["endpoints"].as_array().unwrap();
    let deposits: Vec<_> =
        endpoints.iter().filter(|endpoint| endpoint["metadata"]["input"] == "bank.v1.DepositCommand").collect();
    let mut subjects: Vec<_> = deposits.iter().map(|endpoint| endpoint["subject"].as_str().unwrap()).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, [format!("{SERVICE}.Deposit"), format!("tenant.*.{SERVICE}.Deposit")]);
    assert!(endpoints.iter().all(|endpoint| endpoint["queue_group"] == "bank"));
    let deposits = async || {
        let stats = ask("STATS").await;
        let is_deposit = |endpoint: &&serde_json::Value| endpoint["subject"] == format!("{SERVICE}.Deposit");
        let found = stats["endpoints"].as_array().unwrap().iter().find(is_deposit).unwrap().clone();
        assert!(found["processing_time"].as_u64() >= found["average_processing_time"].as_u64(), "{found}");
        (found["num_requests"].clone(), found["num_errors"].clone(), found["last_error"].clone())
    };
    assert_eq!(deposits().await, (1.into(), 0.into(), "".into()));
    client(&server).await.deposit(deposit("a", 13)).await.unwrap_err();
    assert_eq!(deposits().await, (2.into(), 1.into(), "HANDLER_PANICKED".into()));
}

#[tokio::test]
async fn a_server_of_nothing_or_in_no_group_does_not_start() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (nats, store) = (connect(&server).await, memory());
    let error = NatsServer::new(&nats, &store).start().await.unwrap_err();
    assert_eq!(error.to_string(), "invalid request: the NATS server serves nothing: call serve() first");
    for group in ["", "two words"] {
        let serving = NatsServer::new(&nats, &store).serve(Teller::default().server(store.clone()));
        let error = serving.queue_group(group).start().await.unwrap_err();
        assert!(error.to_string().contains("is no queue group"), "{error}");
    }
}

/// A network that was in two parts: on each, one store was served.
#[tokio::test]
async fn of_two_stores_that_are_served_already_the_lesser_stays() {
    let mut server = test_servers::NatsServer::start().await.unwrap();
    let (store, teller) = (memory(), Teller::default());
    let serving = serve(&server, &teller, store.clone(), |server| server).await;
    // Like a member that comes with the other part: it does not ask who is there, and does not leave.
    let other = async_nats::connect(server.url()).await.unwrap();
    let service = SERVICE.replace('.', "-");
    let mut asked = other.subscribe(format!("$SRV.INFO.{service}")).await.unwrap();
    let info = |store: uuid::Uuid| {
        serde_json::json!({
            "type": "io.nats.micro.v1.info_response", "name": service, "id": "other", "version": "1.0.0", "description": "",
            "metadata": { "store-id": store.to_string(), "store-epoch": "0" },
            "endpoints": [{ "name": "Deposit", "subject": format!("{SERVICE}.Deposit"), "queue_group": "q" }],
        })
    };
    let (theirs, told) = tokio::sync::watch::channel(uuid::Uuid::max());
    let answers = AtomicUsize::new(0);
    let answering = async {
        while let Some(question) = asked.next().await {
            let answer = info(*told.borrow()).to_string();
            other.publish(question.reply.unwrap(), answer.into()).await.unwrap();
            answers.fetch_add(1, Ordering::SeqCst);
        }
    };
    let looking = async {
        // Who was connected anew looks around.
        server.kill();
        server.restart().await.unwrap();
        until("it to have looked twice", async || answers.load(Ordering::SeqCst) >= 2).await;
        assert_eq!(serving.state(), ServingState::Serving, "the greater one has to leave");
        theirs.send_replace(uuid::Uuid::nil());
        server.kill();
        server.restart().await.unwrap();
        let refusal = within("it to leave", serving.wait()).await.unwrap_err().to_string();
        assert!(refusal.contains("two stores behind one subject would split every aggregate"), "{refusal}");
        let call = client(&server).await.deposit(deposit("a", 1)).await;
        assert!(matches!(call, Err(Error::Unavailable { .. })), "{call:?}");
    };
    tokio::select! {
        () = looking => {}
        () = answering => panic!("the connection ended"),
    }
}

#[tokio::test]
async fn a_server_that_turns_many_away_goes_on_with_those_it_has_let_in() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (store, teller) = (memory(), Teller::default());
    let _serving = serve(&server, &teller, store, |server| server.concurrency(1).waiting(0)).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut answers = client.subscribe("answers").await.unwrap();
    let body = bytes::Bytes::from_static(b"\x0a\x01a\x10\x01");
    const REQUESTS: usize = 20_000;
    for _ in 0..REQUESTS {
        client.publish_with_reply(format!("{SERVICE}.Withdraw"), "answers", body.clone()).await.unwrap();
    }
    for _ in 0..REQUESTS {
        within("an answer", answers.next()).await.unwrap();
    }
    // One of each group that was taken in.
    assert!(teller.asked() > REQUESTS / 200, "{}", teller.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_limit_may_be_as_long_as_it_likes() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (store, teller) = (memory(), Teller::default());
    let _serving = serve(&server, &teller, store, |server| server.deadline(Duration::MAX)).await;
    let transport = NatsTransport::new(&connect(&server).await).attempt_timeout(Duration::MAX).timeout(Duration::MAX);
    let accounts = AccountCommandServiceClient::new(transport);
    within("an answer", accounts.deposit(deposit("a", 1)).into_future()).await.unwrap();
}

#[tokio::test]
async fn a_caller_that_wants_its_answer_where_it_may_not_go_does_not_make_a_server_ask_who_else_serves() {
    let users = "authorization { users: [ \
                 { user: s, password: p, permissions: { publish: { deny: \"secret.>\" } } }, { user: c, password: p } ] }";
    let server = test_servers::NatsServer::builder().config(users).start().await.unwrap();
    let nats = es_nats::Nats::connect(server.url().replace("nats://", "nats://s:p@")).await.unwrap();
    let (store, teller) = (memory(), Teller::default());
    let _serving = NatsServer::new(&nats, &store).serve(teller.server(store.clone())).start().await.unwrap();
    let client = async_nats::ConnectOptions::with_user_and_password("c".into(), "p".into());
    let client = client.connect(server.url()).await.unwrap();
    let mut questions = client.subscribe("$SRV.INFO.>").await.unwrap();
    for asked in 1..=20 {
        let body = bytes::Bytes::from_static(b"\x0a\x01a\x10\x01");
        client.publish_with_reply(format!("{SERVICE}.Withdraw"), "secret.x", body).await.unwrap();
        until("it to be handled", async || teller.asked() == asked).await;
    }
    let asked = tokio::time::timeout(Duration::from_millis(500), questions.next()).await;
    assert!(asked.is_err(), "{asked:?}");
}

#[tokio::test]
async fn a_server_that_may_not_listen_to_one_of_many_tenants_does_not_start() {
    let users = "authorization { users: [ { user: s, password: p, permissions: { publish: \">\", \
                 subscribe: [\"_INBOX.>\", \"$SRV.>\", \"bank.v1.>\"] } } ] }";
    let server = test_servers::NatsServer::builder().config(users).start().await.unwrap();
    let nats = es_nats::Nats::connect(server.url().replace("nats://", "nats://s:p@")).await.unwrap();
    let (store, teller) = (memory(), Teller::default());
    let tenants = (0..100).map(|n| tenant(&format!("t-{n}")));
    let started = NatsServer::new(&nats, &store).serve(teller.server(store.clone())).tenants(tenants).start().await;
    let Err(error @ Error::Refused { .. }) = started else { panic!("{started:?}") };
    assert!(error.to_string().contains("let this user subscribe"), "{error}");
}

/// Middleware that keeps its thread for a request of an account `slow`, until it is told.
#[derive(Clone)]
struct Blocking(Arc<Mutex<Receiver<()>>>);

#[derive(Clone)]
struct Blocked(Arc<Mutex<Receiver<()>>>, Route);

impl tower_layer::Layer<Route> for Blocking {
    type Service = Blocked;

    fn layer(&self, inner: Route) -> Blocked {
        Blocked(self.0.clone(), inner)
    }
}

impl tower_service::Service<Request> for Blocked {
    type Response = Response;
    type Error = Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (until, mut inner) = (self.0.clone(), self.1.clone());
        Box::pin(async move {
            if request.body.windows(4).any(|bytes| bytes == b"slow") {
                let _ = tokio::task::block_in_place(|| until.lock().unwrap().recv());
            }
            tower_service::Service::call(&mut inner, request).await
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_keeps_its_thread_holds_up_no_request_that_another_thread_can_answer() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (store, teller) = (memory(), Teller::default());
    let (told, until) = channel();
    let blocking = Blocking(Arc::new(Mutex::new(until)));
    let (nats, service) = (connect(&server).await, teller.server(store.clone()));
    let _serving = NatsServer::new(&nats, &store).serve(service).layer(blocking).start().await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut answers = client.subscribe("answers.>").await.unwrap();
    for n in 0..64 {
        let body: &[u8] = if n == 20 { b"\x0a\x04slow\x10\x01" } else { b"\x0a\x04fast\x10\x01" };
        let body = bytes::Bytes::copy_from_slice(body);
        client.publish_with_reply(format!("{SERVICE}.Withdraw"), format!("answers.{n}"), body).await.unwrap();
    }
    for _ in 1..64 {
        let answer = within("the answers to the others", answers.next()).await.unwrap();
        assert_ne!(&*answer.subject, "answers.20");
    }
    drop(told);
    within("the last answer", answers.next()).await.unwrap();
}
