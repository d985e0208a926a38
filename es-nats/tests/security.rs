//! Who gets in, over what, and what is told of it.

mod support;

use std::{
    fmt::Debug,
    net::{IpAddr, UdpSocket},
    time::{Duration, Instant},
};

use bank::bank::v1::AccountCommandServiceClient;
use es_core::{Error, Retry};
use es_nats::{Nats, NatsOptions, NatsServer, NatsTransport};
use support::{PATIENCE, Teller, deposit, malformed, memory, serve, until, within};
use test_servers::NatsVersion;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A server with one user.
async fn guarded() -> test_servers::NatsServer {
    let users = "authorization { user: bank, password: \"s3cret p@ss\" }";
    test_servers::NatsServer::builder().config(users).start().await.unwrap()
}

fn with_user(server: &test_servers::NatsServer, user: &str) -> String {
    server.url().replace("nats://", &format!("nats://{user}@"))
}

#[tokio::test]
async fn a_client_that_can_not_show_who_it_is_is_refused_and_the_handler_never_runs() {
    let server = guarded().await;
    let teller = Teller::default();
    let store = memory();
    let nats = Nats::connect(with_user(&server, "bank:s3cret%20p%40ss")).await.unwrap();
    let _serving = NatsServer::new(&nats, &store).serve(teller.server(store.clone())).start().await.unwrap();
    for options in [
        NatsOptions::new(server.url()),
        NatsOptions::new(server.url()).user_and_password("bank", "wrong"),
        NatsOptions::new(server.url()).token("s3cret p@ss"),
        NatsOptions::new(with_user(&server, "bank:wrong")),
        NatsOptions::new(with_user(&server, "bank")),
    ] {
        let error = within("the refusal", NatsTransport::connect(options)).await.unwrap_err();
        assert!(
            error.to_string().starts_with("refused by the NATS server: authorization violation; check the"),
            "{error}"
        );
        assert_eq!(error.retry(), Retry::Never);
    }
    assert_eq!(teller.asked(), 0);
    let right = NatsOptions::new(server.url()).user_and_password("bank", "s3cret p@ss");
    let accounts = AccountCommandServiceClient::new(NatsTransport::connect(right).await.unwrap());
    accounts.deposit(deposit("a", 1)).await.unwrap();
}

#[tokio::test]
async fn a_token_or_an_nkey_lets_a_client_in() {
    let config = "authorization { token: \"t0ken\" }";
    let mut server = test_servers::NatsServer::builder().config(config).start().await.unwrap();
    Nats::connect(NatsOptions::new(server.url()).token("t0ken")).await.unwrap();
    Nats::connect(with_user(&server, "t0ken")).await.unwrap();

    let key = nkeys::KeyPair::new_user();
    let users = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", key.public_key());
    server.restart_with(|builder| builder.replace_config(&users)).await.unwrap();
    Nats::connect(NatsOptions::new(server.url()).nkey(key.seed().unwrap())).await.unwrap();
    for seed in [nkeys::KeyPair::new_user().seed().unwrap(), "no seed".to_owned()] {
        let error = Nats::connect(NatsOptions::new(server.url()).nkey(&seed)).await.unwrap_err();
        assert!(matches!(&error, Error::Refused { .. }), "{error}");
        assert!(!error.to_string().contains(&seed));
    }
}

#[tokio::test]
async fn who_is_no_longer_let_in_is_told_so_and_does_not_keep_knocking() {
    let mut server = guarded().await;
    let nats = Nats::connect(with_user(&server, "bank:s3cret%20p%40ss")).await.unwrap();
    let accounts = AccountCommandServiceClient::new(NatsTransport::new(&nats));
    let changed = "authorization { user: bank, password: another }";
    server.restart_with(|builder| builder.replace_config(changed)).await.unwrap();
    let error = within("the refusal", async {
        loop {
            match accounts.deposit(deposit("a", 1)).timeout(Duration::from_secs(5)).await {
                Err(error @ Error::Refused { .. }) => return error,
                // Between the loss of the connection and the refusal.
                answer => drop(answer.unwrap_err()),
            }
        }
    })
    .await;
    assert!(error.to_string().contains("renew them"), "{error}");
    let knocks = || server.log().matches("authentication error").count();
    let before = knocks();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(knocks() <= before.max(2), "{} attempts", knocks());
}

#[tokio::test]
async fn a_user_that_is_removed_while_connected_is_refused_until_it_is_there_again() {
    let users = |names: &[&str]| {
        let users: Vec<_> = names.iter().map(|name| format!("{{ user: {name}, password: p }}")).collect();
        format!("authorization {{ users: [{}] }}", users.join(", "))
    };
    let both = users(&["bank", "web"]);
    let mut server = test_servers::NatsServer::builder().config(&both).start().await.unwrap();
    let (teller, store) = (Teller::default(), memory());
    let bank = Nats::connect(with_user(&server, "bank:p")).await.unwrap();
    let serving = NatsServer::new(&bank, &store).serve(teller.server(store.clone())).start().await.unwrap();
    let web = Nats::connect(with_user(&server, "web:p")).await.unwrap();
    let accounts = AccountCommandServiceClient::new(NatsTransport::new(&web));
    accounts.deposit(deposit("a", 1)).await.unwrap();
    let call = async || within("an answer", accounts.deposit(deposit("a", 1)).timeout(PATIENCE).into_future()).await;

    server.reload_with(|builder| builder.replace_config(&users(&["bank"]))).await.unwrap();
    until("the refusal", async || matches!(call().await, Err(Error::Refused { .. }))).await;
    let knocks = || server.log().matches("authentication error").count();
    let (asked, before) = (teller.asked(), knocks());
    let watched = Instant::now();
    while watched.elapsed() < Duration::from_secs(1) {
        let error = call().await.unwrap_err();
        assert!(matches!(&error, Error::Refused { why, .. } if why.contains("renew them")), "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(knocks() <= before + 2, "{} attempts in a second", knocks() - before);
    assert_eq!(teller.asked(), asked);

    server.reload_with(|builder| builder.replace_config(&both)).await.unwrap();
    until("it to be let in", async || call().await.is_ok()).await;
    assert_eq!(serving.state(), es_nats::ServingState::Serving);
}

#[tokio::test]
async fn a_server_too_old_for_the_guarantees_is_refused_and_the_oldest_that_is_not_serves() {
    let old = test_servers::NatsServer::builder().version(NatsVersion::TooOld).start().await.unwrap();
    let error = Nats::connect(old.url()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("refused by the start-up check: this NATS server is version 2.9"), "{text}");
    assert!(text.ends_with("update the server to 2.10 or later"), "{text}");

    let older = test_servers::NatsServer::builder().version(NatsVersion::Older).start().await.unwrap();
    let teller = Teller::default();
    let _serving = serve(&older, &teller, memory(), |server| server).await;
    support::client(&older).await.deposit(deposit("a", 1)).await.unwrap();
}

/// An address of this machine that is not loopback. Nothing is sent.
fn elsewhere() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").unwrap();
    socket.local_addr().unwrap().ip()
}

/// A server that says it is one, without TLS, and hands over what its first client says.
async fn plaintext_server(ip: IpAddr, more: &str) -> (u16, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let info = format!(
        "INFO {{\"server_id\":\"x\",\"version\":\"2.12.0\",\"max_payload\":1000000,\"headers\":true,\"nonce\":\"abc\"{more}}}\r\n"
    );
    let said = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        client.write_all(info.as_bytes()).await.unwrap();
        let mut said = vec![0; 4096];
        let bytes = client.read(&mut said).await.unwrap_or(0);
        said.truncate(bytes);
        // Its CONNECT and PING, if those were it.
        let _ = client.write_all(b"PONG\r\n").await;
        keep_open(client);
        said
    });
    (port, said)
}

fn keep_open(mut client: TcpStream) {
    tokio::spawn(async move {
        let mut buffer = [0; 1024];
        while client.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
    });
}

#[tokio::test]
async fn to_another_machine_no_password_goes_in_plain_text_unless_asked_for_by_name() {
    let ip = elsewhere();
    assert!(!ip.is_loopback(), "this machine has no address but loopback");
    let options =
        |port| NatsOptions::new(format!("nats://bank:s3cret@{ip}:{port}")).connect_timeout(Duration::from_secs(2));
    let (port, said) = plaintext_server(ip, "").await;
    let error = Nats::connect(options(port)).await.unwrap_err();
    assert!(
        matches!(&error, Error::Refused { by, why } if by == "TLS" && why.contains("dangerous_plaintext")),
        "{error}"
    );
    let said = within("its words", said).await.unwrap();
    assert_eq!(said[0], 22, "not the beginning of TLS");
    assert!(!contains(&said, "s3cret") && !contains(&said, "CONNECT"));

    let (port, said) = plaintext_server(ip, "").await;
    Nats::connect(options(port).dangerous_plaintext()).await.unwrap();
    assert!(contains(&within("its words", said).await.unwrap(), "s3cret"));
}

#[tokio::test]
async fn a_server_on_this_machine_can_not_lead_a_plain_connection_to_another() {
    let (port, _said) = plaintext_server([127, 0, 0, 1].into(), ",\"connect_urls\":[\"192.0.2.1:4222\"]").await;
    let nats = Nats::connect(format!("127.0.0.1:{port}")).await.unwrap();
    let pool = nats.client().server_pool().await.unwrap();
    assert_eq!(pool.len(), 1, "{pool:?}");
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn a_connection_without_a_server_is_unavailable_and_says_where_it_was_tried() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let urls = format!("nats://user:c4n4ry@127.0.0.1:{port},nats://user:c4n4ry@[::1]:{port}");
    let error = Nats::connect(urls).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert_eq!(error.retry(), Retry::Safe);
    let (text, places) = (error.to_string(), format!("no NATS server answers at 127.0.0.1:{port}, [::1]:{port}: "));
    assert!(text.contains(&places) && !text.contains("user") && !text.contains("c4n4ry"), "{text}");
}

#[tokio::test]
async fn no_secret_is_in_what_is_shown_of_options_connections_and_errors() {
    let canary = "c4n4ry";
    let shown = |what: &dyn Debug| {
        let text = format!("{what:?}");
        assert!(!text.contains(canary), "{text}");
    };
    let server = guarded().await;
    let url = server.url();
    for options in [
        NatsOptions::new(with_user(&server, &format!("user:{canary}"))),
        NatsOptions::new(with_user(&server, canary)),
        NatsOptions::new(&url).token(canary),
        NatsOptions::new(&url).user_and_password("user", canary),
        NatsOptions::new(&url).nkey(canary),
        NatsOptions::new(&url).credentials(format!("-----BEGIN NATS USER JWT-----\n{canary}\n")),
        NatsOptions::new(format!("nats://user:{canary}@127.0.0.1:1,ftp://x")),
    ] {
        shown(&options);
        shown(&Nats::connect(options).await.unwrap_err());
    }
    let nats = Nats::connect(with_user(&server, "bank:s3cret%20p%40ss")).await.unwrap();
    assert!(!format!("{nats:?} {:?} {:?}", nats.client(), NatsTransport::new(&nats)).contains("s3cret"));
}

/// A message that this client library can't read ends the connection of whoever subscribed; it must not end it in silence.
#[tokio::test]
async fn a_malformed_message_does_not_silence_a_server() {
    let server = test_servers::NatsServer::start().await.unwrap();
    let (store, teller) = (memory(), Teller::default());
    let serving = serve(&server, &teller, store, |server| server).await;
    let accounts = support::client(&server).await;
    accounts.deposit(deposit("a", 1)).await.unwrap();
    for header in [malformed::PANICS, b"NATS/1.0\r\nX: \xff\r\n\r\n", b"NATS/1.0\r\nno colon\r\n\r\n"] {
        malformed::send(&server, "bank.v1.AccountCommandService.Deposit", header).await;
        until("it to serve again", async || {
            accounts.deposit(deposit("a", 1)).timeout(Duration::from_millis(200)).await.is_ok()
        })
        .await;
        assert_eq!(serving.state(), es_nats::ServingState::Serving, "after {:?}", String::from_utf8_lossy(header));
    }
    within("the shutdown", serving.shutdown()).await;
}

#[tokio::test]
async fn a_server_that_may_not_listen_is_refused_at_start_and_says_so_when_it_is_taken_away_later() {
    let users = |subscribe: &str| {
        format!(
            "authorization {{ users: [ {{ user: s, password: p, permissions: {{ publish: \">\", subscribe: [{subscribe}] }} }} ] }}"
        )
    };
    let enough = "\"_INBOX.>\", \"$SRV.>\", \"bank.v1.>\", \"tenant.*.bank.v1.>\"";
    let too_few = "\"_INBOX.>\", \"$SRV.>\", \"bank.v1.>\"";
    let mut server = test_servers::NatsServer::builder().config(&users(too_few)).start().await.unwrap();
    let (teller, store) = (Teller::default(), memory());
    let nats = Nats::connect(with_user(&server, "s:p")).await.unwrap();
    let start = async || NatsServer::new(&nats, &store).serve(teller.server(store.clone())).start().await;
    let error = start().await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(error.to_string().contains("let this user subscribe to the subjects of its services"), "{error}");

    server.restart_with(|builder| builder.replace_config(&users(enough))).await.unwrap();
    let serving = within("the start", async {
        loop {
            match start().await {
                Ok(serving) => return serving,
                Err(error) => assert_eq!(error.retry(), Retry::Safe, "{error}"),
            }
        }
    })
    .await;
    server.restart_with(|builder| builder.replace_config(&users(too_few))).await.unwrap();
    let error = within("the failure", serving.wait()).await.unwrap_err();
    assert!(error.to_string().contains("let this user subscribe"), "{error}");
    assert!(matches!(serving.state(), es_nats::ServingState::Failed(_)));
}
