//! What a caller may claim to be, and may send again.

mod support;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_nats::HeaderMap;
use bank::bank::v1::AccountCommandServiceClient;
use es_core::{
    Clock, CommandId, Error, EventLog, EventStore, Filter, ManualClock, Retry, Status, Tenant, Timestamp,
    wire::{AppError, Response},
};
use es_nats::{Nats, NatsOptions, NatsServer, NatsTransport, Permissions, Serving};
use es_sqlite::SqliteStore;
use prost::Message;
use support::{SERVICE, STREAM, Teller, append, client, connect, deposit, memory, serve, within};

fn tenant(name: &str) -> Tenant {
    Tenant::new(name).unwrap()
}

fn subject(tenant: Option<&str>) -> String {
    let tenant = tenant.map(|tenant| format!("tenant.{tenant}.")).unwrap_or_default();
    format!("{tenant}{SERVICE}.Deposit")
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    pairs.iter().for_each(|(name, value)| headers.insert(*name, *value));
    headers
}

/// Sends a deposit below the library, and reads the answer.
async fn ask(nats: &Nats, subject: &str, headers: HeaderMap) -> Response {
    let body = deposit("a", 1).encode_to_vec();
    let client = nats.client();
    let asked = client.request_with_headers(subject.to_owned(), headers, body.into());
    Response::decode(within("the answer", asked).await.unwrap().payload).unwrap()
}

#[tokio::test]
async fn a_tenant_that_is_called_like_a_wildcard_is_one_tenant_among_others() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let names = ["*", ">", "acme", "*.acme", "tenant.>"];
    let mut serving = Vec::new();
    for name in names {
        // A store each; two servers whose subjects meet would not both start.
        let (store, teller) = (memory(), Teller::default());
        let of_one = serve(&server, &teller, store.clone(), |server| server.tenants([tenant(name)])).await;
        serving.push((name, store, of_one));
    }
    let accounts = client(&server).await;
    for (count, name) in names.into_iter().enumerate() {
        let reply = accounts.deposit(deposit("a", 1)).tenant(name).await.unwrap();
        assert_eq!(reply.receipt().stream.tenant, Some(tenant(name)));
        for (at, (name, store, _)) in serving.iter().enumerate() {
            assert_eq!(store.head().await.unwrap(), u64::from(at <= count), "{name}");
        }
    }
    for other in [None, Some("b"), Some("%2A"), Some("*.*"), Some("acme.>")] {
        let call = accounts.deposit(deposit("a", 1));
        let error = other.into_iter().fold(call, |call, other| call.tenant(other)).await.unwrap_err();
        assert!(error.to_string().contains("nothing serves"), "{other:?}: {error}");
    }
}

#[tokio::test]
async fn a_request_on_a_subject_with_a_wildcard_in_the_place_of_its_tenant_is_refused() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let teller = Teller::default();
    let _serving = serve(&server, &teller, memory(), |server| server).await;
    let nats = connect(&server).await;
    for hostile in ["*", ">", "acme%2e", "%2a"] {
        let error = ask(&nats, &subject(Some(hostile)), HeaderMap::new()).await.error.unwrap();
        assert_eq!(error.code, "INVALID_ID", "{hostile}: {error:?}");
    }
    assert_eq!(teller.asked(), 0);
}

#[tokio::test]
async fn a_request_that_is_no_message_is_refused_in_words_and_the_server_goes_on() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let teller = Teller::default();
    let _serving = serve(&server, &teller, memory(), |server| server).await;
    let nats = connect(&server).await;
    let whole = deposit("account", 1).encode_to_vec();
    // Groups in groups, of a field that nobody knows; and a length without end.
    let nested = vec![0x7b_u8; 200_000];
    let endless = [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f];
    for body in [&whole[..3], &[0xff; 100], &endless, &nested, &[0x08, 0x01]] {
        let client = nats.client();
        let asked = client.request(subject(None), body.to_vec().into());
        let answer = Response::decode(within("the answer", asked).await.unwrap().payload).unwrap();
        let error = answer.error.unwrap();
        assert_eq!((&*error.code, error.status()), ("INVALID_REQUEST", Status::InvalidArgument), "{error:?}");
        assert!(error.message.contains("is no `bank.v1.DepositCommand`: failed to decode"), "{error:?}");
    }
    assert_eq!(teller.asked(), 0);
    assert_eq!(ask(&nats, &subject(None), HeaderMap::new()).await.error, None);
}

/// A server of all tenants, on a NATS server with a user for each of some.
struct Guarded {
    server: test_servers::NatsServer,
    store: Arc<dyn EventStore>,
    teller: Teller,
    _serving: Serving,
}

const USERS: [(&str, &str); 4] = [("acme", "acme"), ("other", "b"), ("star", "*"), ("arrow", ">")];

impl Guarded {
    /// It believes the header Tenant-ID, which is the more dangerous way.
    async fn start() -> Self {
        let mut permissions = Permissions::new(STREAM).services([SERVICE]).service_user("server", "pw-server");
        for (user, name) in USERS {
            permissions = permissions.tenant_user(user, format!("pw-{user}"), [tenant(name)]);
        }
        let config = permissions.render().unwrap();
        let server = test_servers::NatsServer::builder().config(&config).start().await.unwrap();
        let (store, teller) = (memory(), Teller::default());
        let nats = Self::user(&server, "server").await;
        let serving = NatsServer::new(&nats, &store).serve(teller.server(store.clone())).trust_tenant_header();
        Self { _serving: serving.start().await.unwrap(), server, store, teller }
    }

    async fn user(server: &test_servers::NatsServer, user: &str) -> Nats {
        Nats::connect(NatsOptions::new(server.url()).as_user(user, format!("pw-{user}"))).await.unwrap()
    }
}

#[tokio::test]
async fn the_user_of_a_tenant_acts_for_no_other_whatever_both_are_called() {
    let guarded = Guarded::start().await;
    for (user, own) in USERS {
        let nats = Guarded::user(&guarded.server, user).await;
        let accounts = AccountCommandServiceClient::new(NatsTransport::new(&nats));
        let before = guarded.teller.asked();
        for (_, other) in USERS.into_iter().filter(|(_, other)| *other != own) {
            let call = accounts.deposit(deposit("a", 1)).tenant(other).into_future();
            let error = within("the refusal", call).await.unwrap_err();
            assert!(
                matches!(&error, Error::Refused { by, .. } if by == "the NATS server"),
                "{user} as {other}: {error}"
            );
        }
        assert_eq!(guarded.teller.asked(), before, "the handler does not run");
        let reply = accounts.deposit(deposit("a", 1)).tenant(own).await.unwrap();
        assert_eq!(reply.receipt().stream.tenant, Some(tenant(own)));
        assert_eq!(reply.receipt().version, 1, "an account of its own, of the same name");
    }
}

#[tokio::test]
async fn a_header_does_not_make_the_user_of_a_tenant_another_one() {
    let guarded = Guarded::start().await;
    let acme = Guarded::user(&guarded.server, "acme").await;
    for spoofed in ["b", "*", ">", "ACME", "acme.b"] {
        let error = ask(&acme, &subject(Some("acme")), headers(&[("Tenant-ID", spoofed)])).await.error.unwrap();
        assert_eq!(error.code, "INVALID_REQUEST", "{spoofed}: {error:?}");
    }
    assert_eq!((guarded.teller.asked(), guarded.store.head().await.unwrap()), (0, 0));
}

#[tokio::test]
async fn what_a_caller_says_of_itself_and_of_the_event_changes_nothing_that_the_server_knows() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let store = memory();
    let _serving = serve(&server, &Teller::default(), store.clone(), |server| server).await;
    let nats = connect(&server).await;
    let begun = Timestamp::from(SystemTime::now());
    let spoofed = headers(&[
        ("Nats-Request-Info", r#"{"acc":"ADMIN","user":"root","name":"root"}"#),
        ("Nats-Expected-Last-Sequence", "99"),
        ("Nats-Time-Stamp", "1999-01-01T00:00:00Z"),
        ("Timestamp", "0"),
        ("Recorded-At", "0"),
        ("Position", "99"),
        ("Version", "99"),
        ("Store-ID", "00000000-0000-0000-0000-000000000000"),
        ("Meta-position", "99"),
        ("Meta-tenant", "acme"),
        ("Principal", "root"),
    ]);
    let answer = ask(&nats, &subject(None), spoofed).await;
    assert_eq!(answer.error, None::<AppError>);
    let receipt = answer.receipt.unwrap();
    assert_eq!((receipt.version, receipt.position, &*receipt.tenant), (1, 1, ""));

    let event = store.read_all(0, 10, &Filter::all()).await.unwrap().events.remove(0);
    let meta = &event.meta;
    assert_eq!((meta.version, meta.position, meta.commit_last, meta.stream.tenant.as_ref()), (1, 1, 1, None));
    assert!((begun..=SystemTime::now().into()).contains(&meta.recorded_at), "{}", meta.recorded_at);
    let told = &meta.origin().unwrap();
    assert_eq!((&told.principal_id, &told.correlation_id, &told.causation_id), (&None, &None, &None));
    // An entry is the caller's own, under a name that means nothing else.
    let entries: Vec<_> = told.entries.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(entries, [("position", "99"), ("tenant", "acme")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_command_that_is_sent_again_is_answered_from_the_record_and_later_refused() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bank.db");
    let clock = Arc::new(ManualClock::at(SystemTime::now().into()));
    let open = async || SqliteStore::builder(&path).clock(clock.clone()).open().await.unwrap();
    let nats = connect(&server).await;
    // As every transport of ours gives to a command without one.
    let id = CommandId::random();
    let send = async || ask(&nats, &subject(None), headers(&[("Command-ID", id.as_str())])).await;

    let (store, teller) = (open().await, Teller::default());
    let serving = serve(&server, &teller, Arc::new(store.clone()), |server| server).await;
    let first = send().await;
    assert!(!first.receipt.as_ref().unwrap().replayed, "{first:?}");
    let again = send().await;
    assert!(again.receipt.unwrap().replayed);
    assert_eq!(again.data, first.data);
    serving.shutdown().await;
    store.shutdown().await.unwrap();

    // A store that is opened looks for old answers, by a clock that goes on by a day at most each time.
    clock.advance(Duration::from_secs(30 * 24 * 60 * 60));
    loop {
        let store = open().await;
        append(&store, 1, 1).await;
        store.shutdown().await.unwrap();
        let store = open().await;
        let known = store.outcome(None, &id).await.unwrap().is_some();
        store.shutdown().await.unwrap();
        if !known {
            break;
        }
    }

    let store = open().await;
    let (before, worked) = (store.head().await.unwrap(), teller.asked());
    let _serving = serve(&server, &teller, Arc::new(store.clone()), |server| server).await;
    for _ in 0..2 {
        let error = send().await.error.unwrap();
        assert_eq!(error.code, "COMMAND_EXPIRED", "{error:?}");
        assert!(error.message.contains("send a new command if it is still wanted"), "{error:?}");
    }
    let call = client(&server).await.deposit(deposit("a", 1)).command_id(id.as_str()).into_future();
    let error = within("the refusal", call).await.unwrap_err();
    assert!(matches!(&error, Error::CommandExpired { command_id } if *command_id == id), "{error}");
    assert_eq!(error.retry(), Retry::Never);
    assert_eq!((store.head().await.unwrap(), teller.asked()), (before, worked), "it was not carried out again");
    // One that was made by the store's time is a new one.
    let made = uuid::Timestamp::from_unix(uuid::NoContext, clock.now().as_micros().unsigned_abs() / 1_000_000, 0);
    let new = uuid::Uuid::new_v7(made).to_string();
    let reply = client(&server).await.deposit(deposit("a", 1)).command_id(new).await.unwrap();
    assert!(!reply.receipt().replayed);
}
