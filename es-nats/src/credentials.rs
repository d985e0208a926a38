//! Who we are to a server.

use std::path::PathBuf;

use async_nats::ConnectOptions;
use es_core::{Error, Result};

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

    /// Adds them to the options of a connection.
    pub(crate) async fn add_to(self, options: ConnectOptions) -> Result<ConnectOptions> {
        match self {
            Self::Token(token) => Ok(options.token(token)),
            Self::UserAndPassword(user, password) => Ok(options.user_and_password(user, password)),
            Self::Nkey(seed) => Ok(options.nkey(seed)),
            Self::Text(text) => with_text(options, &text),
            Self::File(path) => {
                let text = tokio::fs::read_to_string(&path).await.map_err(|error| Error::InvalidRequest {
                    why: format!("the credentials file {} can't be read: {error}", path.display()),
                })?;
                with_text(options, &text)
            }
        }
    }
}

/// The cause is left out: it could quote the text.
fn with_text(options: ConnectOptions, text: &str) -> Result<ConnectOptions> {
    options.credentials(text).map_err(|_| Error::InvalidRequest {
        why: "the NATS credentials are not in the form of a credentials file: a user JWT and its seed".into(),
    })
}
