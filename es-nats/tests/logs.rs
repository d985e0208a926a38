//! No secret is in any log, at any level, of ours or of what is below us.

mod support;

use std::{
    fmt::{Debug, Write},
    sync::{Mutex, PoisonError},
};

use bank::bank::v1::AccountCommandServiceClient;
use es_nats::{Nats, NatsOptions, NatsServer, NatsTransport};
use support::{Teller, deposit, memory, until};
use tracing::{Event, Metadata, Subscriber, field, span};

static LOG: Mutex<String> = Mutex::new(String::new());

/// Keeps every field of every span and event.
struct Everything;

struct Fields<'a>(&'a mut String);

impl field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &field::Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        span.record(&mut Fields(&mut log));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut Fields(&mut LOG.lock().unwrap_or_else(PoisonError::into_inner)));
    }

    fn event(&self, event: &Event<'_>) {
        let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = write!(log, "\n{}", event.metadata().target());
        event.record(&mut Fields(&mut log));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn no_secret_is_in_any_log() {
    tracing::subscriber::set_global_default(Everything).unwrap();
    let users = "authorization { user: bank, password: \"c4n4ry-p@ss\" }";
    let mut server = test_servers::NatsServer::builder().config(users).start().await.unwrap();
    let (teller, store) = (Teller::default(), memory());

    // In, refused, without a server, cut off, and refused after that.
    let url = server.url().replace("nats://", "nats://bank:c4n4ry-p%40ss@");
    let nats = Nats::connect(&url).await.unwrap();
    let serving = NatsServer::new(&nats, &store).serve(teller.server(store.clone())).start().await.unwrap();
    let accounts = AccountCommandServiceClient::new(NatsTransport::new(&nats));
    accounts.deposit(deposit("a", 1)).await.unwrap();
    accounts.deposit(deposit("a", 13)).await.unwrap_err();
    for options in [
        NatsOptions::new(server.url()).token("c4n4ry-token"),
        NatsOptions::new(server.url()).nkey("c4n4ry-seed"),
        NatsOptions::new(server.url()).nkey(nkeys::KeyPair::from_seed(SEED).unwrap().seed().unwrap()),
        NatsOptions::new(server.url()).credentials("c4n4ry-creds"),
        NatsOptions::new("nats://bank:c4n4ry-url@127.0.0.1:1"),
    ] {
        Nats::connect(options).await.unwrap_err();
    }
    server.restart_with(|builder| builder.replace_config("authorization { token: other }")).await.unwrap();
    until("the refusal", async || log().contains("the NATS server refuses us")).await;
    drop(serving);

    let log = log();
    assert!(log.contains("async_nats"), "what is below us does not log: {log}");
    for secret in ["c4n4ry", SEED] {
        assert!(!log.contains(secret), "{}", log.lines().find(|line| line.contains(secret)).unwrap_or_default());
    }
}

/// Of no one.
const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

fn log() -> String {
    LOG.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
