//! Services and clients in one process.

mod bank;

use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bank::{AccountRepository, AccountServiceClient, AccountServiceServer, Accounts, QueryServiceClient, command};
use es_core::{Error, LocalBus, MemoryStore, Request, Response, Result, Route, Status, Transport, store::BoxFuture};

fn accounts() -> AccountServiceServer<Accounts> {
    AccountServiceServer::new(Accounts::changing(), AccountRepository::new(MemoryStore::new()))
}

fn queries() -> bank::QueryServiceServer<Accounts> {
    bank::QueryServiceServer::new(Accounts::changing())
}

#[tokio::test]
async fn a_query_answers_plainly() {
    let client = QueryServiceClient::new(LocalBus::new().serve(queries()).transport());
    let answer = client.ask(command("a", 3)).principal("alice").await.unwrap();
    assert_eq!((&*answer.account_id, answer.cents), ("alice", 3));
    let error = client.ask(command("unknown", 0)).await.unwrap_err();
    assert!(matches!(&error, Error::Rejected(refusal) if refusal.status() == Status::NotFound), "{error}");
    let error = client.ask(command("panic", 0)).await.unwrap_err();
    assert_eq!(error.to_string(), "the handler of bank.v1.QueryService.Ask panicked");
}

#[tokio::test]
async fn a_transport_taken_before_a_service_is_served_reaches_it() {
    let bus = LocalBus::new();
    let client = AccountServiceClient::new(bus.transport());
    let error = client.decide(command("a", 1)).await.unwrap_err();
    assert_eq!(error.to_string(), "nothing serves `bank.v1.AccountService` here");
    let _bus = bus.serve(accounts());
    client.decide(command("a", 1)).await.unwrap();
}

#[tokio::test]
async fn a_request_that_is_none_is_refused_with_the_reason() {
    let transport = LocalBus::new().serve(accounts()).transport();
    let answer = async |request: Request| transport.call(request).await.unwrap_err().to_string();
    let service = "bank.v1.AccountService";
    let expected = "nothing serves `bank.v1.AccountService.Vanish` here";
    assert_eq!(answer(Request::new(service, "Vanish", [])).await, expected);
    let mut wrong = Request::new(service, "Decide", []);
    wrong.message_type = "bank.v1.OpenCommand".into();
    let expected = "invalid request: bank.v1.AccountService.Decide takes `bank.v1.Command`, the request has \
                    `bank.v1.OpenCommand`";
    assert_eq!(answer(wrong).await, expected);
    let expected = "invalid request: the request of bank.v1.AccountService.Decide is no `bank.v1.Command`: failed to \
                    decode Protobuf message: Command.account_id: invalid varint";
    assert_eq!(answer(Request::new(service, "Decide", [0x0a, 200])).await, expected);
}

/// Notes every call that passes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

#[derive(Clone)]
struct Logged(Log, Route);

impl tower_layer::Layer<Route> for Log {
    type Service = Logged;

    fn layer(&self, inner: Route) -> Logged {
        Logged(self.clone(), inner)
    }
}

impl tower_service::Service<Request> for Logged {
    type Response = Response;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Response>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.1.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.0.0.lock().unwrap().push(format!("{}.{}", request.service, request.method));
        self.1.call(request)
    }
}

#[tokio::test]
async fn middleware_sees_every_call_of_what_was_served_before_it() {
    let log = Log::default();
    let bus = LocalBus::new().serve(accounts()).layer(log.clone()).serve(queries());
    AccountServiceClient::new(bus.transport()).decide(command("a", 1)).await.unwrap();
    QueryServiceClient::new(bus.transport()).ask(command("a", 1)).await.unwrap();
    assert_eq!(*log.0.lock().unwrap(), ["bank.v1.AccountService.Decide"]);
}

/// Answers no one.
struct Silent;

impl es_core::Service for Silent {
    fn name(&self) -> &'static str {
        "bank.v1.QueryService"
    }

    fn methods(&self) -> &'static [es_core::MethodInfo] {
        &[]
    }

    fn call(&self, _: Request) -> BoxFuture<'_, Result<Response>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_in_one_process_gives_up_after_its_timeout() {
    let after = std::time::Duration::from_secs(3);
    let bus = LocalBus::new().serve(Silent);
    let error = QueryServiceClient::new(bus.transport()).ask(command("a", 1)).timeout(after).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { after: told } if told == after), "{error}");
    let mut request = Request::new("bank.v1.QueryService", "Ask", []);
    request.timeout = Some(after);
    assert!(matches!(bus.transport().call(request).await, Err(Error::Timeout { .. })));
}

#[test]
fn a_bus_tells_what_it_serves_in_the_order_of_names() {
    let bus = LocalBus::new().serve(queries()).serve(accounts());
    let names: Vec<_> = bus.routes().iter().map(Route::name).collect();
    assert_eq!(names, ["bank.v1.AccountService", "bank.v1.QueryService"]);
}
