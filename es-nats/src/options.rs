//! How to reach a NATS server.

use std::{fmt, path::PathBuf, time::Duration};

use crate::{Permissions, credentials::Credentials};

/// Where the servers are, and who we are to them.
///
/// A server on this machine may be spoken to in plain text. To any other, TLS is required, so that no password and no
/// event goes over a wire that others can read; [`dangerous_plaintext`](Self::dangerous_plaintext) takes that back.
///
/// ```
/// # use es_nats::NatsOptions;
/// let options = NatsOptions::new("tls://nats-1.example.com,tls://nats-2.example.com")
///     .name("bank")
///     .credentials_file("/etc/bank/nats.creds")
///     .tls_roots("/etc/bank/ca.pem");
/// ```
#[derive(Clone)]
#[must_use]
pub struct NatsOptions {
    pub(crate) servers: Vec<String>,
    pub(crate) name: Option<String>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) tls_roots: Vec<PathBuf>,
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(crate) require_tls: bool,
    pub(crate) plaintext: bool,
    pub(crate) inbox_prefix: Option<String>,
    pub(crate) connect_timeout: Duration,
}

impl NatsOptions {
    /// The servers of a URL, or of several, separated by commas: `nats://127.0.0.1:4222`.
    ///
    /// Name all servers of a cluster: the connection goes to one of them, and to another when that one is away. A server
    /// also tells of the others it knows. Those are used with TLS only; in plain text, a server could lead us to another
    /// machine, so there only the servers named here are tried.
    ///
    /// A user and password, or a token, in a URL are used and never printed; a comma in them is written `%2C`.
    pub fn new(servers: impl AsRef<str>) -> Self {
        Self {
            servers: servers.as_ref().split(',').map(|server| server.trim().to_owned()).collect(),
            name: None,
            credentials: None,
            tls_roots: Vec::new(),
            client_certificate: None,
            require_tls: false,
            plaintext: false,
            inbox_prefix: None,
            connect_timeout: Duration::from_secs(5),
        }
    }

    /// Names the connection, for those who look at the server.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Shows a token.
    pub fn token(self, token: impl Into<String>) -> Self {
        self.identified_by(Credentials::Token(token.into()))
    }

    /// Is a user of [`Permissions`](crate::Permissions): shows its name and its password, and has answers sent to the one
    /// [inbox](crate::Permissions::inbox_prefix) it may listen to.
    pub fn as_user(self, name: impl Into<String>, password: impl Into<String>) -> Self {
        let name = name.into();
        let inbox = Permissions::inbox_prefix(&name);
        self.user_and_password(name, password).inbox_prefix(inbox)
    }

    /// Shows a user and a password. For a user of [`Permissions`](crate::Permissions), call [`as_user`](Self::as_user).
    pub fn user_and_password(self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.identified_by(Credentials::UserAndPassword(user.into(), password.into()))
    }

    /// Signs with the seed of an nkey.
    pub fn nkey(self, seed: impl Into<String>) -> Self {
        self.identified_by(Credentials::Nkey(seed.into()))
    }

    /// Shows the JWT of a credentials file and signs with its seed. The file is read each time a connection is made, so that
    /// renewed credentials are taken up. What such a user may is in its JWT; [`Permissions`](crate::Permissions) writes users
    /// with passwords.
    pub fn credentials_file(self, path: impl Into<PathBuf>) -> Self {
        self.identified_by(Credentials::File(path.into()))
    }

    /// As [`credentials_file`](Self::credentials_file), with the file's text.
    pub fn credentials(self, text: impl Into<String>) -> Self {
        self.identified_by(Credentials::Text(text.into()))
    }

    /// Requires TLS, and trusts only the certificate authorities of this PEM file (and of those given before) instead of
    /// the system's.
    pub fn tls_roots(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls_roots.push(path.into());
        self.require_tls()
    }

    /// Requires TLS, and shows this certificate in it; certificate and key are PEM files,
    /// read each time a connection is made.
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.client_certificate = Some((certificate.into(), key.into()));
        self.require_tls()
    }

    /// Requires TLS on this machine, too.
    pub fn require_tls(mut self) -> Self {
        self.require_tls = true;
        self
    }

    /// Allows plain text to other machines: whoever is on the way reads and changes everything, passwords included.
    pub fn dangerous_plaintext(mut self) -> Self {
        self.plaintext = true;
        self
    }

    /// Has answers sent to subjects below this prefix instead of `_INBOX`, so that a server's permissions can keep each
    /// user to an inbox of its own. [`as_user`](Self::as_user) does that for the users of
    /// [`Permissions`](crate::Permissions). A user that may not listen to its inbox hears no answer: its first command is
    /// carried out and ends as [`OutcomeUnknown`](es_core::Error::OutcomeUnknown), with the reason; what follows is
    /// [`Refused`](es_core::Error::Refused) and not sent.
    pub fn inbox_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.inbox_prefix = Some(prefix.into());
        self
    }

    /// Gives up on a server that has not taken us in after this long. Default: 5 s.
    pub fn connect_timeout(mut self, after: Duration) -> Self {
        self.connect_timeout = after;
        self
    }

    fn identified_by(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }
}

impl From<&str> for NatsOptions {
    fn from(servers: &str) -> Self {
        Self::new(servers)
    }
}

impl From<String> for NatsOptions {
    fn from(servers: String) -> Self {
        Self::new(servers)
    }
}

impl From<&String> for NatsOptions {
    fn from(servers: &String) -> Self {
        Self::new(servers)
    }
}

impl fmt::Debug for NatsOptions {
    /// Without the servers, because a URL may have a password, and with no more of the credentials than their kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsOptions")
            .field("servers", &self.servers.len())
            .field("name", &self.name)
            .field("credentials", &self.credentials.as_ref().map(Credentials::kind))
            .field("require_tls", &self.require_tls)
            .field("plaintext", &self.plaintext)
            .finish_non_exhaustive()
    }
}
