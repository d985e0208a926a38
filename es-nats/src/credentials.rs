//! Who we are to a server.

use std::{
    future::ready,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_nats::{Auth, AuthError, ConnectOptions};
use es_core::{Error, Result};
use nkeys::KeyPair;

/// What proves it. Without `Debug`, so that no secret is printed by mistake.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    Token(String),
    UserAndPassword(String, String),
    Nkey(String),
    /// The text of a credentials file: a JWT and the seed that signs for it.
    Text(String),
    File(PathBuf),
}

impl Credentials {
    /// What they are, without saying them.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::UserAndPassword(..) => "user and password",
            Self::Nkey(_) => "nkey",
            Self::Text(_) => "credentials",
            Self::File(_) => "credentials file",
        }
    }

    /// The options of a connection that shows them.
    pub(crate) async fn options(self) -> Result<ConnectOptions> {
        match self {
            Self::Token(token) => Ok(ConnectOptions::new().token(token)),
            Self::UserAndPassword(user, password) => Ok(ConnectOptions::new().user_and_password(user, password)),
            Self::Nkey(seed) => Ok(ConnectOptions::new().nkey(seed)),
            Self::Text(text) => Ok(of(Pair::of(&text).map_err(invalid)?)),
            Self::File(path) => {
                Pair::read(&path).await.map_err(invalid)?;
                Ok(of_file(path.into()))
            }
        }
    }
}

/// A user JWT, and the key that signs for it.
struct Pair {
    jwt: String,
    key: KeyPair,
}

impl Pair {
    async fn read(path: &Path) -> Result<Self, String> {
        let text = tokio::fs::read_to_string(path).await;
        let text = text.map_err(|error| format!("the credentials file {} can't be read: {error}", path.display()))?;
        Self::of(&text)
    }

    /// Of the text of a credentials file: each of the two is a line between two lines of dashes. What it can't be made of
    /// is not said, because it may be a secret.
    fn of(text: &str) -> Result<Self, String> {
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        let is_rule = |line: &str| line.starts_with("---");
        let mut values = lines.windows(3).filter(|lines| is_rule(lines[0]) && is_rule(lines[2])).map(|lines| lines[1]);
        let (jwt, seed) = (values.next(), values.next());
        let key = seed.and_then(|seed| KeyPair::from_seed(seed).ok());
        jwt.filter(|jwt| !jwt.is_empty()).zip(key).map(|(jwt, key)| Self { jwt: jwt.into(), key }).ok_or_else(|| {
            "the NATS credentials are not in the form of a credentials file: a user JWT and its seed".into()
        })
    }

    fn answer(&self, nonce: &[u8]) -> Result<Auth, AuthError> {
        let mut auth = Auth::new();
        auth.jwt = Some(self.jwt.clone());
        auth.signature = Some(self.key.sign(nonce).map_err(|_| AuthError::new("the seed can't sign"))?);
        Ok(auth)
    }
}

fn of(pair: Pair) -> ConnectOptions {
    ConnectOptions::with_auth_callback(move |nonce| ready(pair.answer(&nonce)))
}

/// Read again for each connection: who renews credentials that expired renews the file.
fn of_file(path: Arc<Path>) -> ConnectOptions {
    ConnectOptions::with_auth_callback(move |nonce| {
        let path = path.clone();
        async move { Pair::read(&path).await.map_err(AuthError::new)?.answer(&nonce) }
    })
}

fn invalid(why: String) -> Error {
    Error::InvalidRequest { why }
}
