//! TLS: who trusts whom, and what is said to whom that is not trusted.

mod support;

use std::time::{Duration, Instant};

use bank::bank::v1::AccountCommandServiceClient;
use es_core::{Error, Retry};
use es_nats::{Nats, NatsOptions, NatsServer, NatsTransport, Serving};
use support::{PATIENCE, Teller, deposit, memory, tap::Tap, until, within};
use test_servers::{Certificates, Demand, Identity};

struct Bank {
    server: test_servers::NatsServer,
    teller: Teller,
    _serving: Serving,
}

/// A bank served over TLS, by a process that is trusted.
async fn bank(made: &Certificates, demand: Demand) -> Bank {
    let server = server(&made.config(&made.server, demand)).await;
    let (teller, store) = (Teller::default(), memory());
    let nats = Nats::connect(trusted(made, &server.url())).await.unwrap();
    let serving = NatsServer::new(&nats, &store).serve(teller.server(store.clone())).start().await.unwrap();
    Bank { server, teller, _serving: serving }
}

async fn server(config: &str) -> test_servers::NatsServer {
    test_servers::NatsServer::builder().config(config).start().await.unwrap()
}

/// Trusts the server, and shows a good certificate.
fn trusted(made: &Certificates, url: &str) -> NatsOptions {
    showing(NatsOptions::new(url).tls_roots(&made.ca), &made.client)
}

fn showing(options: NatsOptions, client: &Identity) -> NatsOptions {
    options.client_certificate(&client.certificate, &client.key)
}

async fn call(options: NatsOptions) -> es_core::Result<()> {
    let accounts = AccountCommandServiceClient::new(NatsTransport::connect(options).await?);
    accounts.deposit(deposit("a", 1)).await.map(drop)
}

/// The call is refused before it is made, in words.
async fn assert_refused(options: NatsOptions, words: &[&str]) {
    let error = within("the refusal", call(options)).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::Never);
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{words:?} in {text}");
}

#[tokio::test]
async fn a_client_that_knows_the_authority_speaks_tls() {
    let made = Certificates::new().unwrap();
    let bank = bank(&made, Demand::Nothing).await;
    let port = bank.server.port();
    for url in [format!("nats://127.0.0.1:{port}"), format!("tls://localhost:{port}")] {
        let tap = Tap::to(&bank.server).await;
        call(NatsOptions::new(&url).tls_roots(&made.ca)).await.unwrap();
        let tapped = url.replace(&port.to_string(), tap.url().rsplit_once(':').unwrap().1);
        call(NatsOptions::new(tapped).tls_roots(&made.ca)).await.unwrap();
        assert_eq!((tap.sent()[0], tap.has_sent("CONNECT"), tap.has_sent("Deposit")), (22, 0, 0), "not encrypted");
    }
    assert_eq!(bank.teller.asked(), 4);
}

#[tokio::test]
async fn a_server_can_demand_a_certificate_and_tell_users_by_it() {
    let made = Certificates::new().unwrap();
    for demand in [Demand::Certificate, Demand::User] {
        let bank = bank(&made, demand).await;
        call(trusted(&made, &bank.server.url())).await.unwrap();
        assert_eq!(bank.teller.asked(), 1);
    }
}

#[tokio::test]
async fn a_client_whose_certificate_is_missing_expired_or_strange_is_refused_and_the_handler_never_runs() {
    let made = Certificates::new().unwrap();
    for demand in [Demand::Certificate, Demand::User] {
        let bank = bank(&made, demand).await;
        let anyone = || NatsOptions::new(bank.server.url()).tls_roots(&made.ca);
        // Each more than once: the server's last words must not be lost to how the connection ends.
        for _ in 0..10 {
            assert_refused(anyone(), &["CertificateRequired", "client_certificate()"]).await;
            assert_refused(showing(anyone(), &made.expired_client), &["CertificateExpired", "client_certificate()"])
                .await;
            assert_refused(showing(anyone(), &made.stranger), &["UnknownCA", "client_certificate()"]).await;
        }
        assert_eq!(bank.teller.asked(), 0);
    }
}

#[tokio::test]
async fn a_certificate_that_is_no_longer_trusted_is_refused_until_it_is_again() {
    let made = Certificates::new().unwrap();
    for demand in [Demand::Certificate, Demand::User] {
        let mut bank = bank(&made, demand).await;
        let tap = Tap::to(&bank.server).await;
        let nats = Nats::connect(trusted(&made, &tap.url().replace("nats://", "tls://"))).await.unwrap();
        let accounts = AccountCommandServiceClient::new(NatsTransport::new(&nats));
        accounts.deposit(deposit("a", 1)).await.unwrap();
        let call =
            async || within("an answer", accounts.deposit(deposit("a", 1)).timeout(PATIENCE).into_future()).await;

        let trusting = made.config(&made.server, demand);
        let [ours, another] = [&made.ca, &made.other_ca].map(|ca| format!("ca_file: \"{}\"", ca.display()));
        assert!(trusting.contains(&ours));
        let distrusting = trusting.replace(&ours, &another);
        bank.server.reload_with(|builder| builder.replace_config(&distrusting)).await.unwrap();
        tap.cut();
        until("the refusal", async || matches!(call().await, Err(Error::Refused { .. }))).await;
        let (asked, knocks) = (bank.teller.asked(), tap.connections());
        let watched = Instant::now();
        while watched.elapsed() < Duration::from_secs(1) {
            let error = call().await.unwrap_err();
            assert!(matches!(&error, Error::Refused { why, .. } if why.contains("client_certificate()")), "{error}");
            assert_eq!(error.retry(), Retry::Never);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(tap.connections() <= knocks + 2, "{} attempts in a second", tap.connections() - knocks);
        assert_eq!(bank.teller.asked(), asked);

        bank.server.reload_with(|builder| builder.replace_config(&trusting)).await.unwrap();
        until("it to be let in", async || call().await.is_ok()).await;
    }
}

#[tokio::test]
async fn a_certificate_that_expires_is_refused_until_its_file_is_renewed() {
    let made = Certificates::new().unwrap();
    let bank = bank(&made, Demand::Certificate).await;
    let (tap, folder) = (Tap::to(&bank.server).await, tempfile::tempdir().unwrap());
    let shown = Identity { certificate: folder.path().join("pem"), key: folder.path().join("key") };
    let show = |identity: &Identity| {
        std::fs::copy(&identity.key, &shown.key).unwrap();
        std::fs::copy(&identity.certificate, &shown.certificate).unwrap();
    };
    show(&made.client);
    let url = tap.url().replace("nats://", "tls://");
    let nats = Nats::connect(showing(NatsOptions::new(url).tls_roots(&made.ca), &shown)).await.unwrap();
    let accounts = AccountCommandServiceClient::new(NatsTransport::new(&nats));
    let call = async || within("an answer", accounts.deposit(deposit("a", 1)).timeout(PATIENCE).into_future()).await;
    call().await.unwrap();
    show(&made.expired_client);
    tap.cut();
    let expired = |why: &str| why.contains("CertificateExpired") && why.contains("client_certificate()");
    until("the refusal", async || matches!(call().await, Err(Error::Refused { why, .. }) if expired(&why))).await;
    show(&made.client);
    until("it to be let in", async || call().await.is_ok()).await;
}

#[tokio::test]
async fn a_server_that_is_not_trusted_is_told_no_secret() {
    let made = Certificates::new().unwrap();
    let good = server(&made.config(&made.server, Demand::Nothing)).await;
    let expired = server(&made.config(&made.expired_server, Demand::Nothing)).await;
    let elsewhere = server(&made.config(&made.server_elsewhere, Demand::Nothing)).await;
    // Longer than all that is encrypted before a server is trusted.
    let secret = "s3cret".repeat(200);
    for (server, ca, words) in [
        (&good, &made.other_ca, ["UnknownIssuer", "tls_roots()"]),
        (&expired, &made.ca, ["expired", "the server's certificate"]),
        (&elsewhere, &made.ca, ["elsewhere.example", "its name in the URL"]),
    ] {
        let tap = Tap::to(server).await;
        let options = NatsOptions::new(tap.url()).tls_roots(ca).user_and_password("bank", &secret);
        assert_refused(options, &words).await;
        assert_eq!(tap.sent()[0], 22, "not the beginning of TLS");
        assert!(encrypted(&tap.sent()) < secret.len(), "more was said than that the server is not trusted");
    }
    // The measure: a server that is trusted is told.
    let tap = Tap::to(&good).await;
    let options = NatsOptions::new(tap.url()).tls_roots(&made.ca).user_and_password("bank", &secret);
    Nats::connect(options).await.unwrap();
    assert!(encrypted(&tap.sent()) > secret.len());
}

/// How many bytes of application data, and of what TLS hides as such, there are among these records.
fn encrypted(mut sent: &[u8]) -> usize {
    let mut bytes = 0;
    while let [kind, _, _, high, low, rest @ ..] = sent {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        bytes += if *kind == 23 { length } else { 0 };
        sent = &rest[length..];
    }
    bytes
}
