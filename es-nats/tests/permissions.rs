//! The users of a generated configuration: what they may, and that they may nothing else.

mod support;

use std::{sync::Arc, time::Duration};

use async_nats::{ConnectOptions, Event, ServerError};
use bank::bank::v1::{AccountCommandServiceClient, MoneyDeposited};
use es_core::{
    Commit, Error, EventLog, EventStore, Expected, Filter, HookBuilder, NewEvent, Retry, Runner, StreamKey, Subscriber,
    Tenant,
};
use es_nats::{Nats, NatsOptions, NatsServer, NatsTransport, Permissions, Relay, Serving, Subscription};
use es_sqlite::SqliteProjection;
use futures_util::StreamExt;
use support::{Rig, SERVICE, STREAM, Teller, append, deposit, until, within};
use test_servers::NatsVersion;
use tokio::sync::mpsc;

/// As bcrypt makes it.
const HASH: &str = "$2a$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW";

/// The users, with the password that each shows.
const USERS: [(&str, &str); 7] = [
    ("server", "s $HOME \"}] # \\ ü"),
    ("relay", "r3lay"),
    ("operator", "abc123xyz"),
    ("projector", "pr0jector"),
    ("web", "w3b"),
    ("other", "0ther"),
    ("acme", "acm3"),
];

fn permissions() -> Permissions {
    let [server, relay, _, projector, web, other, acme] = USERS;
    Permissions::new(STREAM)
        .services([SERVICE])
        .service_user(server.0, server.1)
        .relay_user(relay.0, relay.1)
        .operator_user("operator", HASH)
        .subscriber_user(projector.0, projector.1)
        .client_user(web.0, web.1)
        .client_user(other.0, other.1)
        .tenant_user(acme.0, acme.1, [Tenant::new("acme").unwrap(), Tenant::new("a.b").unwrap()])
}

fn password(user: &str) -> &'static str {
    USERS.iter().find(|(name, _)| *name == user).unwrap().1
}

async fn rig() -> Rig {
    rig_on(NatsVersion::Newest).await
}

async fn rig_on(version: NatsVersion) -> Rig {
    let config = permissions().render().unwrap();
    let server = test_servers::NatsServer::builder().version(version).config(&config);
    Rig::with(server.start().await.unwrap()).await
}

async fn connect(rig: &Rig, user: &str) -> Nats {
    Nats::connect(NatsOptions::new(rig.server.url()).as_user(user, password(user))).await.unwrap()
}

async fn accounts(rig: &Rig, user: &str) -> AccountCommandServiceClient {
    AccountCommandServiceClient::new(NatsTransport::new(&connect(rig, user).await))
}

async fn serve(rig: &Rig, teller: &Teller) -> Serving {
    let store: Arc<dyn EventStore> = Arc::new(rig.store.clone());
    let nats = connect(rig, "server").await;
    NatsServer::new(&nats, &store).serve(teller.server(store.clone())).start().await.unwrap()
}

async fn relay(rig: &Rig, user: &str) -> Relay {
    Relay::builder(&connect(rig, user).await).stream(STREAM).build(&rig.store).await.unwrap()
}

/// The stream has what the store has, and nothing else.
async fn assert_equal(rig: &Rig, relay: &Relay) {
    let head = rig.store.head().await.unwrap();
    let is_there = async || relay.verify().await.is_ok_and(|verified| verified.last >= head);
    until("the stream to end where the store does", is_there).await;
    let verified = relay.verify().await.unwrap();
    assert!(verified.is_equal() && verified.last == head, "{verified:?}, the store ends at {head}");
}

/// A connection below the library, and what the server tells it.
struct Raw {
    client: async_nats::Client,
    complaints: mpsc::UnboundedReceiver<String>,
}

impl Raw {
    async fn connect(rig: &Rig, user: &str) -> Self {
        let (tell, complaints) = mpsc::unbounded_channel();
        let options = ConnectOptions::with_user_and_password(user.into(), password(user).into())
            .custom_inbox_prefix(Permissions::inbox_prefix(user))
            .event_callback(move |event| {
                if let Event::ServerError(ServerError::Other(complaint)) = event {
                    let _ = tell.send(complaint);
                }
                std::future::ready(())
            });
        Self { client: options.connect(rig.server.url()).await.unwrap(), complaints }
    }

    async fn is_forbidden(&mut self, what: &str) {
        let complaint = within(what, self.complaints.recv()).await.unwrap();
        assert!(complaint.contains(what), "{complaint}, not of {what}");
    }

    async fn may_not_publish(&mut self, subject: &str) {
        self.client.publish(subject.to_owned(), "x".into()).await.unwrap();
        self.is_forbidden(&format!("Permissions Violation for Publish to \"{subject}\"")).await;
    }

    async fn may_not_subscribe(&mut self, subject: &str) {
        drop(self.client.subscribe(subject.to_owned()).await.unwrap());
        self.is_forbidden(&format!("Permissions Violation for Subscription to \"{subject}\"")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_user_for_each_the_whole_works() {
    the_whole_works(&rig().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_so_on_an_older_server() {
    the_whole_works(&rig_on(NatsVersion::Older).await).await;
}

async fn the_whole_works(rig: &Rig) {
    let teller = Teller::default();
    let serving = serve(rig, &teller).await;
    let relay = relay(rig, "relay").await;
    let relaying = Runner::new(rig.store.clone()).run(relay.clone()).start().unwrap();
    for (user, tenants) in [("web", &[None, Some("acme"), Some("b")][..]), ("acme", &[Some("acme"), Some("a.b")])] {
        let accounts = accounts(rig, user).await;
        for tenant in tenants {
            let call = accounts.deposit(deposit("acc.1", 5));
            let call = match tenant {
                Some(tenant) => call.tenant(*tenant),
                None => call,
            };
            call.await.unwrap();
        }
    }
    assert_equal(rig, &relay).await;

    let log = Subscription::open(&connect(rig, "projector").await, STREAM).await.unwrap();
    let projection = SqliteProjection::builder("deposits")
        .migration("CREATE TABLE deposit (position INTEGER PRIMARY KEY) STRICT")
        .on::<MoneyDeposited, _>(|tx, _event, meta| {
            tx.execute("INSERT INTO deposit VALUES (?1)", [meta.position])?;
            Ok(())
        })
        .build_over(rig.path("read.db"), log.clone())
        .unwrap();
    let following = Runner::new(log).run(projection.clone()).start().unwrap();
    accounts(rig, "other").await.deposit(deposit("acc.1", 5)).await.unwrap();
    following.wait_for_position("deposits", 6, Duration::from_secs(30)).await.unwrap();
    let count = projection.query(|tx| tx.query_row("SELECT count(*) FROM deposit", [], |row| row.get::<_, u64>(0)));
    assert_eq!(count.await.unwrap(), 6);
    assert_eq!(serving.state(), es_nats::ServingState::Serving);
    following.shutdown().await;
    relaying.shutdown().await;
    // A second server of the same store is let in.
    let second = serve(rig, &teller).await;
    second.shutdown().await;
    serving.shutdown().await;
    assert!(!rig.server.log().contains("Violation"), "{}", rig.server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_is_given_a_large_event_and_a_filtered_log() {
    let config = format!("{}\nmax_payload: 4096", permissions().render().unwrap());
    let rig = Rig::with(test_servers::NatsServer::builder().config(&config).start().await.unwrap()).await;
    let store: Arc<dyn EventStore> = Arc::new(rig.store.clone());
    let large = NewEvent::raw("bank.v1.MoneyDeposited", vec![7; 20_000]);
    let stream = StreamKey::new(None, "bank.v1.Account", "acc.1".try_into().unwrap());
    store.append(Commit::append(stream, Expected::Any, vec![large])).await.unwrap();
    let relaying = Runner::new(rig.store.clone()).run(relay(&rig, "relay").await).start().unwrap();
    rig.relayed(&relaying).await;
    let log = Subscription::open(&connect(&rig, "projector").await, STREAM).await.unwrap();
    for filter in [Filter::all(), Filter::all().event_types(["bank.v1.MoneyDeposited", "x.Y"])] {
        let page = within("the page", log.read_all(0, 10, &filter)).await.unwrap();
        assert_eq!(page.events[0].payload.len(), 20_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_user_has_a_right_that_its_work_does_not_need() {
    let rig = rig().await;
    append(&rig.store, 1, 3).await;
    let teller = Teller::default();
    let _serving = serve(&rig, &teller).await;
    let relay = relay(&rig, "relay").await;
    let _relaying = Runner::new(rig.store.clone()).run(relay.clone()).start().unwrap();
    assert_equal(&rig, &relay).await;

    let stored = format!("es.store.{}.events", rig.store.identity().id);
    let call = format!("{SERVICE}.Deposit");
    let (acme, other) = (format!("tenant.acme.{call}"), format!("tenant.b.{call}"));
    let event = "evt.%.bank%2Ev1.Account.MoneyDeposited.acc-1";
    let info = "$JS.API.STREAM.INFO.bank";
    let elsewhere = [
        "$JS.API.STREAM.PURGE.bank",
        "$JS.API.STREAM.MSG.DELETE.bank",
        "$JS.API.STREAM.CREATE.mine",
        "$JS.API.STREAM.INFO.mine",
        "$JS.API.CONSUMER.CREATE.mine",
        "$JS.API.INFO",
        "$SRV.INFO",
        "other.v1.Service.Method",
        "x",
    ];
    let delete = "$JS.API.STREAM.DELETE.bank";
    let consumer = "$JS.API.CONSUMER.CREATE.bank";
    let inbox = "_INBOX_other.x";
    let forbidden: [(&str, Vec<&str>); 5] = [
        ("web", vec![event, info, delete, consumer, &stored, inbox, "_INBOX_web.x"]),
        ("acme", vec![event, info, delete, consumer, &stored, inbox, &call, &other]),
        ("projector", vec![event, delete, "$JS.API.STREAM.UPDATE.bank", inbox, &call, &acme]),
        ("server", vec![event, info, delete, consumer, &stored, "_INBOX_projector.x", &call, &acme]),
        ("relay", vec![delete, consumer, &stored, inbox, &call, &acme]),
    ];
    for (user, subjects) in forbidden {
        let mut raw = Raw::connect(&rig, user).await;
        for subject in subjects.into_iter().chain(elsewhere) {
            raw.may_not_publish(subject).await;
        }
        for subject in ["_INBOX_other.>", "_INBOX_other.*.*", "_INBOX.>", ">", "evt.>", "$JS.>"] {
            raw.may_not_subscribe(subject).await;
        }
        if user != "server" {
            for subject in [&*call, &acme, "tenant.>", "$SRV.INFO"] {
                raw.may_not_subscribe(subject).await;
            }
        }
        if user != "relay" {
            raw.may_not_subscribe(&stored).await;
        }
    }
    assert_eq!(teller.asked(), 0);
    assert_equal(&rig, &relay).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_to_an_inbox_and_nowhere_else() {
    let rig = rig().await;
    append(&rig.store, 1, 3).await;
    let teller = Teller::default();
    let _serving = serve(&rig, &teller).await;
    let relay = relay(&rig, "relay").await;
    let _relaying = Runner::new(rig.store.clone()).run(relay.clone()).start().unwrap();
    assert_equal(&rig, &relay).await;

    let web = Raw::connect(&rig, "web").await;
    let event = "evt.%.bank%2Ev1.Account.MoneyDeposited.acc-1";
    for reply in [event, "$JS.API.STREAM.DELETE.bank"] {
        web.client.publish_with_reply(format!("{SERVICE}.Deposit"), reply, "x".into()).await.unwrap();
        let is_refused = |line: &str| {
            line.contains("Publish Violation")
                && line.contains("server")
                && line.contains(&format!("Subject \"{reply}\""))
        };
        until("the refusal", async || rig.server.log().lines().any(is_refused)).await;
    }
    assert_equal(&rig, &relay).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_another_s_inbox_reads_nothing() {
    let rig = rig().await;
    let teller = Teller::default();
    let _serving = serve(&rig, &teller).await;
    let mut other = Raw::connect(&rig, "other").await;
    let mut answers = other.client.subscribe("_INBOX_web.>").await.unwrap();
    other.is_forbidden("Permissions Violation for Subscription to \"_INBOX_web.>\"").await;
    accounts(&rig, "web").await.deposit(deposit("a", 1)).await.unwrap();
    // Its own answer comes after that of the other.
    let own = other.client.request(format!("{SERVICE}.Deposit"), "x".into()).await.unwrap();
    assert!(!own.payload.is_empty());
    assert!(futures_util::FutureExt::now_or_never(answers.next()).flatten().is_none());
}

#[tokio::test]
async fn a_call_that_is_forbidden_fails_at_once_with_the_reason_and_is_not_handled() {
    let rig = rig().await;
    let teller = Teller::default();
    let _serving = serve(&rig, &teller).await;
    let acme = accounts(&rig, "acme").await;
    for tenant in [None, Some("b")] {
        let call = acme.deposit(deposit("a", 1)).timeout(Duration::from_secs(600));
        let call = tenant.into_iter().fold(call, |call, tenant| call.tenant(tenant));
        let error = within("the refusal", call.into_future()).await.unwrap_err();
        assert!(matches!(&error, Error::Refused { by, .. } if by == "the NATS server"), "{error}");
        assert!(error.to_string().contains("Permissions Violation for Publish to"), "{error}");
        assert!(error.to_string().ends_with("give this user that permission"), "{error}");
        assert_eq!(error.retry(), Retry::Never);
    }
    assert_eq!(teller.asked(), 0);
    // What is forbidden of one call is no matter of the others.
    acme.deposit(deposit("a", 1)).tenant("acme").await.unwrap();
}

#[tokio::test]
async fn who_forgets_the_inbox_of_its_user_is_told_so() {
    let rig = rig().await;
    let teller = Teller::default();
    let _serving = serve(&rig, &teller).await;
    let options = NatsOptions::new(rig.server.url()).user_and_password("web", password("web"));
    let web = AccountCommandServiceClient::new(NatsTransport::connect(options).await.unwrap());
    let call = async || {
        let call = web.deposit(deposit("a", 1)).timeout(Duration::from_secs(600));
        within("the refusal", call.into_future()).await.unwrap_err()
    };
    // It was sent before there was an answer to the subscription.
    let first = call().await;
    assert!(
        matches!(&first, Error::OutcomeUnknown { source: Some(why), .. } if why.to_string().contains("inbox_prefix")),
        "{first:?}"
    );
    until("the command to arrive", async || teller.asked() == 1).await;
    let second = call().await;
    assert!(matches!(&second, Error::Refused { why, .. } if why.contains("inbox_prefix")), "{second:?}");
    // The server may still be about to handle the first.
    until("the first call to be handled", async || teller.asked() > 0).await;
    assert_eq!(teller.asked(), 1);
}

#[tokio::test]
async fn a_user_who_may_not_serve_is_told_so() {
    let rig = rig().await;
    let store: Arc<dyn EventStore> = Arc::new(rig.store.clone());
    let teller = Teller::default();
    for user in ["web", "relay", "projector"] {
        let nats = connect(&rig, user).await;
        let error = NatsServer::new(&nats, &store).serve(teller.server(store.clone())).start().await.unwrap_err();
        assert!(error.to_string().contains("may this user publish it?"), "{error}");
    }
    let nobody = accounts(&rig, "web").await.deposit(deposit("a", 1)).await.unwrap_err();
    assert!(nobody.to_string().contains("nothing serves"), "{nobody}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_may_not_hear_who_misses_events_relays_and_says_what_it_lacks() {
    let whole = format!("{}\nmax_payload: 4096", permissions().render().unwrap());
    let right = ", \"es.store.*.events\"";
    let (before, relays) = whole.split_once("user: \"relay\"").unwrap();
    let without = format!("{before}user: \"relay\"{}", relays.replacen(right, "", 1));
    let mut rig = Rig::with(test_servers::NatsServer::builder().config(&without).start().await.unwrap()).await;
    let large = NewEvent::raw("bank.v1.MoneyDeposited", vec![7; 20_000]);
    let stream = StreamKey::new(None, "bank.v1.Account", "acc.1".try_into().unwrap());
    rig.store.append(Commit::append(stream, Expected::Any, vec![large])).await.unwrap();
    let relay = relay(&rig, "relay").await;
    let relaying = Runner::new(rig.store.clone()).run(relay.clone()).start().unwrap();
    assert_equal(&rig, &relay).await;

    let forbidden = format!("Subscription to \"es.store.{}.events\"", rig.store.identity().id);
    let problem = async || relay.status().endpoint_problem.unwrap_or_default();
    until("the problem", async || problem().await.to_lowercase().contains(&forbidden.to_lowercase())).await;
    assert!(problem().await.ends_with("give this user that permission"), "{}", problem().await);
    assert_eq!(relay.status().problem, None);
    let log = Subscription::open(&connect(&rig, "projector").await, STREAM).await.unwrap();
    let error = log.read_all(0, 10, &Filter::all()).await.unwrap_err();
    assert!(error.to_string().contains("or its user may not listen"), "{error}");

    rig.server.restart_with(|builder| builder.replace_config(&whole)).await.unwrap();
    until("it to be heard", async || relay.status().endpoint_problem.is_none()).await;
    let all = Filter::all();
    until("the event", async || log.read_all(0, 10, &all).await.is_ok_and(|page| page.events.len() == 1)).await;
    relaying.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_without_a_permission_names_it_and_appends_go_on() {
    let rig = rig().await;
    append(&rig.store, 1, 3).await;
    let problem = async |user: &str, missing: &str| {
        let relay = relay(&rig, user).await;
        let running = Runner::new(rig.store.clone()).run(relay.clone()).start().unwrap();
        until(missing, async || relay.status().problem.is_some_and(|problem| problem.contains(missing))).await;
        append(&rig.store, 1, 3).await;
        running.shutdown().await;
        relay.give_back().await;
    };
    problem("web", "Permissions Violation for Publish to \"$JS.API.STREAM.INFO.bank\"; give this user").await;
    problem("projector", "Permissions Violation for Publish to \"$JS.API.STREAM.CREATE.bank\"; give this user").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_may_not_publish_events_says_so_and_goes_on_once_it_may() {
    let config = permissions().render().unwrap();
    let too_little = config.replace("\"evt.>\", ", "");
    assert_ne!(too_little, config);
    let builder = test_servers::NatsServer::builder().config(&too_little);
    let mut rig = Rig::with(builder.start().await.unwrap()).await;
    append(&rig.store, 1, 3).await;
    let relay = relay(&rig, "relay").await;
    let _running = Runner::new(rig.store.clone()).run(relay.clone()).start().unwrap();
    let missing = "Permissions Violation for Publish to \"evt.";
    until(missing, async || relay.status().problem.is_some_and(|problem| problem.contains(missing))).await;
    rig.server.restart_with(|builder| builder.replace_config(&config)).await.unwrap();
    assert_equal(&rig, &relay).await;
    until("no problem", async || relay.status().problem.is_none()).await;
}

#[tokio::test]
async fn a_subscription_without_a_permission_names_it() {
    let rig = rig().await;
    let error = Subscription::open(&connect(&rig, "web").await, STREAM).await.unwrap_err();
    assert!(error.to_string().contains("Permissions Violation for Publish to \"$JS.API.STREAM.INFO.bank\""), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_operator_makes_the_stream_anew() {
    let rig = rig().await;
    append(&rig.store, 1, 3).await;
    let relayed = relay(&rig, "relay").await;
    let running = Runner::new(rig.store.clone()).run(relayed.clone()).start().unwrap();
    assert_equal(&rig, &relayed).await;
    running.shutdown().await;
    let error = relayed.reseed().await.unwrap_err();
    assert!(error.to_string().contains("Publish to \"$JS.API.STREAM.DELETE.bank\""), "{error}");
    relayed.give_back().await;
    assert_equal(&rig, &relayed).await;

    let operator = relay(&rig, "operator").await;
    operator.reseed().await.unwrap();
    let running = Runner::new(rig.store.clone()).run(operator.clone()).start().unwrap();
    assert_equal(&rig, &operator).await;
    running.shutdown().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_also_of_a_user_with_a_hashed_one() {
    let rig = rig().await;
    for (user, password) in [("server", "s"), ("operator", "abc"), ("operator", HASH), ("nobody", "x")] {
        let options = NatsOptions::new(rig.server.url()).user_and_password(user, password);
        let error = Nats::connect(options).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error}");
    }
    connect(&rig, "server").await;
    connect(&rig, "operator").await;
}

/// NATS does not look at where JetStream sends its answers.
#[tokio::test(flavor = "multi_thread")]
async fn what_jetstream_was_made_to_answer_into_the_stream_stops_the_relay_and_is_no_event_to_readers() {
    let rig = rig().await;
    append(&rig.store, 1, 3).await;
    let relay = relay(&rig, "relay").await;
    let running = Runner::new(rig.store.clone()).run(relay.clone()).start().unwrap();
    assert_equal(&rig, &relay).await;
    let projector = connect(&rig, "projector").await;
    let log = Subscription::open(&projector, STREAM).await.unwrap();
    let event = "evt.%.bank%2Ev1.Account.MoneyDeposited.acc-1";
    projector.client().publish_with_reply("$JS.API.STREAM.INFO.bank", event, "".into()).await.unwrap();
    until("the answer in the stream", async || log.head().await.unwrap() == 4).await;
    append(&rig.store, 1, 3).await;
    let error = support::faulted(&running).await;
    assert!(error.contains("has diverged from its store: at 4, it has no envelope"), "{error}");
    let read = log.read_all(3, 10, &Filter::all()).await;
    assert!(matches!(read, Err(Error::Corrupt { .. })), "{read:?}");
}
