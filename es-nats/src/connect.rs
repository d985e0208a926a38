//! Making a connection.

use std::{error::Error as _, io, sync::Arc, time::Duration};

use async_nats::{ConnectError, ConnectErrorKind, ConnectOptions, ServerAddr, ServerError, rustls};
use es_core::{Error, Result};

use crate::{
    NatsOptions,
    addresses::Addresses,
    connection::{Connection, Ended},
    link::Link,
    server_check,
};

/// A server that says nothing is asked whether it is there this often; the third time without an answer it is left.
const PING: Duration = Duration::from_secs(10);

/// Connects, and lets the link know what becomes of the connection.
pub(crate) async fn connect(options: &NatsOptions, link: &Arc<Link>) -> Result<Connection> {
    let Addresses { servers, credentials, tls } = Addresses::of(options)?;
    let (ended, alive) = Ended::new();
    let (noting, looking) = (link.clone(), link.clone());
    // The client's own task has this, and nothing else: it is dropped with the task.
    let pausing = (link.clone(), alive);
    let connect = match credentials {
        Some(credentials) => credentials.options().await?,
        None => ConnectOptions::new(),
    };
    let mut connect = connect
        .require_tls(tls)
        .connection_timeout(options.connect_timeout)
        .ping_interval(PING)
        .reconnect_delay_callback(move |attempt| {
            let (link, _alive) = &pausing;
            link.pause(attempt)
        })
        .reconnect_to_server_callback(move |servers, _| {
            looking.note_failures(&servers);
            // Any server: the client's own choice.
            std::future::ready(None)
        })
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
    let mut told = link.watch();
    let before = told.borrow().connects;
    let client = connect.connect(&*servers).await.map_err(|error| not_connected(&error, &servers))?;
    server_check::check(&client)?;
    // Told a moment later than made; from here on, every connection that is told of is another one.
    let _ = told.wait_for(|told| told.connects > before).await;
    Ok(Connection::new(client, ended))
}

/// Why there is no connection. The causes are looked at because the client below calls most of them "IO error".
fn not_connected(error: &ConnectError, servers: &[ServerAddr]) -> Error {
    let refused = |by: &str, why: String| Error::Refused { by: by.into(), why };
    let mut cause = error.source();
    while let Some(found) = cause {
        if let Some(error) = found.downcast_ref::<ServerError>() {
            let said = error.to_string();
            let said = said.strip_prefix("nats: ").unwrap_or(&said);
            return refused("the NATS server", format!("{said}; check the credentials and the server's users"));
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
        _ => {
            let why = match error.kind() {
                ConnectErrorKind::TimedOut => "timed out; is it a NATS server?".into(),
                _ => with_cause(error),
            };
            Error::Unavailable { why: format!("no NATS server answers at {}: {why}", places(servers)) }
        }
    }
}

/// The hosts and ports, and nothing else of the URLs.
fn places(servers: &[ServerAddr]) -> String {
    let place = |server: &ServerAddr| match server.host() {
        host if host.contains(':') => format!("[{host}]:{}", server.port()),
        host => format!("{host}:{}", server.port()),
    };
    servers.iter().map(place).collect::<Vec<_>>().join(", ")
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
