//! Users that an account vouches for, by a JWT: shown from a credentials file, until they expire.

mod support;

use std::{
    fs,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bank::bank::v1::AccountCommandServiceClient;
use data_encoding::BASE64URL_NOPAD;
use es_core::Error;
use es_nats::{Nats, NatsOptions, NatsServer, NatsTransport};
use nkeys::KeyPair;
use serde_json::{Value, json};
use support::{PATIENCE, Teller, deposit, memory, until, within};

/// An account of an operator that a server trusts.
struct Account {
    operator: KeyPair,
    account: KeyPair,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn signed(by: &KeyPair, mut claims: Value) -> String {
    claims["iss"] = by.public_key().into();
    claims["iat"] = now().into();
    claims["jti"] = "x".into();
    let parts = [json!({ "typ": "JWT", "alg": "ed25519-nkey" }), claims];
    let [header, claims] = parts.map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes()));
    let signature = by.sign(format!("{header}.{claims}").as_bytes()).unwrap();
    format!("{header}.{claims}.{}", BASE64URL_NOPAD.encode(&signature))
}

impl Account {
    fn new() -> Self {
        Self { operator: KeyPair::new_operator(), account: KeyPair::new_account() }
    }

    async fn server(&self) -> test_servers::NatsServer {
        let (operator, account) = (self.operator.public_key(), self.account.public_key());
        let trusted = json!({ "name": "operator", "sub": operator, "nats": { "type": "operator", "version": 2 } });
        let limits = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
            "conn": -1, "leaf": -1 });
        let known = json!({ "name": "account", "sub": account,
            "nats": { "type": "account", "version": 2, "limits": limits } });
        let (trusted, known) = (signed(&self.operator, trusted), signed(&self.operator, known));
        let config = format!("operator: {trusted}\nresolver: MEMORY\nresolver_preload: {{ {account}: {known} }}");
        test_servers::NatsServer::builder().jetstream(false).config(&config).start().await.unwrap()
    }

    /// The credentials of a new user, until this time.
    fn user(&self, until: Option<u64>) -> String {
        let user = KeyPair::new_user();
        let mut claims = json!({ "name": "user", "sub": user.public_key(),
            "nats": { "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 } });
        if let Some(until) = until {
            claims["exp"] = until.into();
        }
        format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\nKeep it.\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            signed(&self.account, claims),
            user.seed().unwrap()
        )
    }
}

#[tokio::test]
async fn credentials_let_a_client_in_as_text_and_from_a_file() {
    let account = Account::new();
    let server = account.server().await;
    let (folder, stranger) = (tempfile::tempdir().unwrap(), Account::new());
    let path = folder.path().join("user.creds");
    for (text, is_let_in) in [(account.user(None), true), (stranger.user(None), false), (account.user(Some(1)), false)]
    {
        fs::write(&path, &text).unwrap();
        for options in
            [NatsOptions::new(server.url()).credentials(&text), NatsOptions::new(server.url()).credentials_file(&path)]
        {
            match Nats::connect(options).await {
                Ok(_) => assert!(is_let_in),
                Err(error) => assert!(!is_let_in && matches!(error, Error::Refused { .. }), "{error}"),
            }
        }
    }
    fs::write(&path, account.user(None).replace("SU", "XX")).unwrap();
    let error = Nats::connect(NatsOptions::new(server.url()).credentials_file(&path)).await.unwrap_err();
    assert!(error.to_string().contains("not in the form of a credentials file"), "{error}");
    fs::remove_file(&path).unwrap();
    let error = Nats::connect(NatsOptions::new(server.url()).credentials_file(&path)).await.unwrap_err();
    assert!(error.to_string().contains("user.creds can't be read"), "{error}");
}

#[tokio::test]
async fn credentials_that_expire_while_connected_are_refused_until_their_file_is_renewed() {
    let account = Account::new();
    let server = account.server().await;
    let (teller, store) = (Teller::default(), memory());
    let bank = Nats::connect(NatsOptions::new(server.url()).credentials(account.user(None))).await.unwrap();
    let _serving = NatsServer::new(&bank, &store).serve(teller.server(store.clone())).start().await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("user.creds");
    fs::write(&path, account.user(Some(now() + 2))).unwrap();
    let web = Nats::connect(NatsOptions::new(server.url()).credentials_file(&path)).await.unwrap();
    let accounts = AccountCommandServiceClient::new(NatsTransport::new(&web));
    let call = async || within("an answer", accounts.deposit(deposit("a", 1)).timeout(PATIENCE).into_future()).await;
    call().await.unwrap();
    until("the refusal", async || matches!(call().await, Err(Error::Refused { .. }))).await;
    let (asked, watched) = (teller.asked(), Instant::now());
    while watched.elapsed() < Duration::from_millis(500) {
        let error = call().await.unwrap_err();
        assert!(matches!(&error, Error::Refused { why, .. } if why.contains("renew them")), "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(teller.asked(), asked);

    fs::write(&path, account.user(None)).unwrap();
    until("it to be let in", async || call().await.is_ok()).await;
}
