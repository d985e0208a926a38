//! The connection that transports, servers, relays and subscriptions share.

use std::{error::Error as _, fmt, io, sync::Arc, time::Duration};

use async_nats::{ConnectError, ConnectErrorKind, ConnectOptions, ServerError, jetstream, rustls};
use es_core::{Error, Result};

use crate::{NatsOptions, addresses::Addresses, link::Link, patience::until_there, server_check};

/// A server that says nothing is asked whether it is there this often; the third time without an answer it is left.
const PING: Duration = Duration::from_secs(10);

/// A connection to NATS. Cloning is cheap, and clones share it.
///
/// A connection that is lost is made again, with growing pauses at random, and one to a server that has been silent for
/// half a minute is given up for another. Only a server that refuses us is left alone for a minute, and meanwhile
/// everything fails with [`Refused`](Error::Refused).
#[derive(Clone)]
pub struct Nats {
    client: async_nats::Client,
    link: Arc<Link>,
    options: Arc<NatsOptions>,
}

impl Nats {
    /// Connects.
    ///
    /// # Errors
    /// [`Unavailable`](Error::Unavailable) when no server answers; [`Refused`](Error::Refused) when one does and does not
    /// take us in (a wrong password, a certificate that expired or is not trusted) or is too old;
    /// [`InvalidRequest`](Error::InvalidRequest) for options that can't be right.
    pub async fn connect(options: impl Into<NatsOptions>) -> Result<Self> {
        Self::connect_with(Arc::new(options.into())).await
    }

    /// As [`connect`](Self::connect), and waits for a server as long as none answers. What is waited for is logged.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), but for [`Unavailable`](Error::Unavailable).
    pub async fn connect_when_there(options: impl Into<NatsOptions>) -> Result<Self> {
        let options = Arc::new(options.into());
        until_there("a NATS server", || Self::connect_with(options.clone())).await
    }

    /// Another connection to the same servers.
    pub(crate) async fn another(&self) -> Result<Self> {
        Self::connect_with(self.options.clone()).await
    }

    async fn connect_with(options: Arc<NatsOptions>) -> Result<Self> {
        let Addresses { servers, credentials, tls } = Addresses::of(&options)?;
        let link = Arc::new(Link::new(options.inbox_prefix.as_deref().unwrap_or("_INBOX")));
        let (noting, pausing) = (link.clone(), link.clone());
        let mut connect = ConnectOptions::new()
            .require_tls(tls)
            .connection_timeout(options.connect_timeout)
            .ping_interval(PING)
            .reconnect_delay_callback(move |attempt| pausing.pause(attempt))
            .event_callback(move |event| {
                noting.note(&event);
                std::future::ready(())
            });
        if !tls {
            // A server could name others that are not on this machine.
            connect = connect.ignore_discovered_servers();
        }
        for roots in &options.tls_roots {
            connect = connect.add_root_certificates(roots.clone());
        }
        if let Some((certificate, key)) = &options.client_certificate {
            connect = connect.add_client_certificate(certificate.clone(), key.clone());
        }
        if let Some(name) = &options.name {
            connect = connect.name(name);
        }
        if let Some(prefix) = &options.inbox_prefix {
            connect = connect.custom_inbox_prefix(prefix);
        }
        if let Some(credentials) = credentials {
            connect = credentials.add_to(connect).await?;
        }
        let client = connect.connect(&*servers).await.map_err(|error| not_connected(&error))?;
        server_check::check(&client)?;
        // Told a moment later than made; from here on, every connection that is told of is another one.
        let _ = link.watch().wait_for(|told| told.connects > 0).await;
        Ok(Self { client, link, options })
    }

    /// The client below, for what this crate does not offer.
    pub fn client(&self) -> &async_nats::Client {
        &self.client
    }

    pub(crate) fn jetstream(&self) -> jetstream::Context {
        jetstream::new(self.client.clone())
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats").field("state", &self.client.connection_state()).finish_non_exhaustive()
    }
}

/// Why there is no connection. The causes are looked at because the client below calls most of them "IO error".
fn not_connected(error: &ConnectError) -> Error {
    let refused = |by: &str, why: String| Error::Refused { by: by.into(), why };
    let mut cause = error.source();
    while let Some(found) = cause {
        if let Some(error) = found.downcast_ref::<ServerError>() {
            return refused("the NATS server", format!("{error}; check the credentials and the server's users"));
        }
        // An I/O error shows the cause of its cause as its source, and its cause only this way.
        let inner = found.downcast_ref::<io::Error>().and_then(|error| error.get_ref()).map(|inner| inner as _);
        for found in [Some(found), inner].into_iter().flatten() {
            let found: &(dyn std::error::Error + 'static) = found;
            if let Some(error) = found.downcast_ref::<rustls::Error>() {
                return refused("TLS", tls_failure(error));
            }
        }
        cause = found.source();
    }
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation => {
            refused("the NATS server", "authorization violation; check the credentials and the server's users".into())
        }
        ConnectErrorKind::Authentication => {
            refused("the NATS server", "it wants a signature, and the nkey given can't make one".into())
        }
        ConnectErrorKind::Tls => refused("TLS", with_cause(error)),
        ConnectErrorKind::ServerParse => {
            Error::InvalidRequest { why: format!("NATS server URL: {}", with_cause(error)) }
        }
        _ => Error::Unavailable { why: format!("NATS: {}", with_cause(error)) },
    }
}

fn tls_failure(error: &rustls::Error) -> String {
    let remedy = match error {
        rustls::Error::InvalidMessage(_) => {
            "the server does not speak TLS, or something on the way took it out; plain text to another machine needs \
             dangerous_plaintext()"
        }
        rustls::Error::InvalidCertificate(_) => "check the server's certificate, its name in the URL, and tls_roots()",
        _ => "check client_certificate() and the server's TLS settings",
    };
    format!("{error}; {remedy}")
}

fn with_cause(error: &ConnectError) -> String {
    match error.source() {
        Some(cause) => format!("{}: {cause}", error.kind()),
        None => error.kind().to_string(),
    }
}
