//! The servers of the options: where they are, what their URLs say of us, and whether TLS is required.

use std::net::IpAddr;

use async_nats::ServerAddr;
use es_core::{Error, Result};

use crate::{NatsOptions, credentials::Credentials, percent};

/// Servers to connect to. Their URLs have no secrets any more, so that no one who logs them logs one.
pub(crate) struct Addresses {
    pub(crate) servers: Vec<ServerAddr>,
    /// From the URLs or, where they have none, from the options.
    pub(crate) credentials: Option<Credentials>,
    /// For every one of them, because the client below knows one rule for all.
    pub(crate) tls: bool,
}

impl Addresses {
    pub(crate) fn of(options: &NatsOptions) -> Result<Self> {
        let mut servers = Vec::new();
        let mut credentials = options.credentials.clone();
        let mut tls = options.require_tls;
        for (index, url) in options.servers.iter().enumerate() {
            let (server, named) = parse(url, index)?;
            if named.is_some() && credentials.is_some() && named != credentials {
                return Err(invalid(index, "says who we are, and so does something else, differently"));
            }
            credentials = credentials.or(named);
            tls |= server.tls_required() || !(options.plaintext || is_loopback(server.host()));
            servers.push(server);
        }
        if options.require_tls && options.plaintext {
            return Err(Error::InvalidRequest {
                why: "TLS is required and plain text allowed: leave out one of the two".into(),
            });
        }
        Ok(Self { servers, credentials, tls })
    }
}

/// A server, and the user and password, or the token, of its URL.
fn parse(url: &str, index: usize) -> Result<(ServerAddr, Option<Credentials>)> {
    // The cause says what is wrong in general words and does not quote the URL.
    let server: ServerAddr = url.parse().map_err(|error| invalid(index, &format!("is none: {error}")))?;
    if server.is_websocket() {
        return Err(invalid(index, "is a WebSocket; only nats:// and tls:// are supported"));
    }
    if server.host().is_empty() {
        return Err(invalid(index, "has no host"));
    }
    let text = |part: &str| -> Result<String> {
        let decoded = percent::decode(part).ok_or_else(|| invalid(index, "has a user or password that is no text"))?;
        Ok(decoded.into_owned())
    };
    let credentials = match (server.username(), server.password()) {
        (Some(user), Some(password)) => Some(Credentials::UserAndPassword(text(user)?, text(password)?)),
        (Some(token), None) => Some(Credentials::Token(text(token)?)),
        (None, Some(_)) => return Err(invalid(index, "has a password and no user")),
        (None, None) => None,
    };
    let mut url = server.into_inner();
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return Err(invalid(index, "is none"));
    }
    let server = ServerAddr::from_url(url).map_err(|error| invalid(index, &format!("is none: {error}")))?;
    Ok((server, credentials))
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn invalid(index: usize, why: &str) -> Error {
    Error::InvalidRequest { why: format!("NATS server URL {} {why}", index + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(options: NatsOptions) -> bool {
        Addresses::of(&options).unwrap().tls
    }

    #[test]
    fn tls_is_required_as_soon_as_one_server_is_elsewhere() {
        for here in ["nats://127.0.0.1:4222", "localhost", "nats://[::1]", "nats://127.9.9.9,nats://LOCALHOST:1"] {
            assert!(!tls(here.into()), "{here}");
        }
        for elsewhere in
            ["nats://10.0.0.1", "example.com", "nats://127.0.0.1,nats://[2001:db8::1]", "localhost.evil.com"]
        {
            assert!(tls(elsewhere.into()), "{elsewhere}");
            assert!(!tls(NatsOptions::new(elsewhere).dangerous_plaintext()), "{elsewhere}");
        }
    }

    #[test]
    fn a_tls_url_requires_it_whatever_else_is_said() {
        assert!(tls("tls://127.0.0.1".into()));
        assert!(tls(NatsOptions::new("tls://example.com").dangerous_plaintext()));
        assert!(tls(NatsOptions::new("127.0.0.1").tls_roots("ca.pem")));
    }

    #[test]
    fn a_urls_user_is_taken_out_of_it() {
        let found = Addresses::of(&"nats://us%40er:p%3Ass@127.0.0.1:4222,nats://127.0.0.1:4223".into()).unwrap();
        assert!(found.credentials == Some(Credentials::UserAndPassword("us@er".into(), "p:ss".into())));
        assert!(found.servers.iter().all(|server| !format!("{server:?}").contains("p%3Ass")));
        let found = Addresses::of(&"nats://to-ken@127.0.0.1".into()).unwrap();
        assert!(found.credentials == Some(Credentials::Token("to-ken".into())));
    }

    #[test]
    fn what_is_wrong_with_a_url_is_told_without_quoting_it() {
        let error = |options: NatsOptions| match Addresses::of(&options) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{options:?}"),
        };
        let canary = "c4n4ry";
        for url in [
            format!("ftp://user:{canary}@127.0.0.1"),
            format!("ws://user:{canary}@127.0.0.1"),
            format!("nats://user:{canary}@127.0.0.1:port"),
            format!("nats://:{canary}@127.0.0.1"),
            format!("nats://user:{canary}%FF@127.0.0.1"),
            format!("nats://user:{canary}@127.0.0.1,nats://user:other@127.0.0.1"),
            String::new(),
        ] {
            let error = error(url.into());
            assert!(error.contains("NATS server URL ") && !error.contains(canary), "{error}");
        }
        assert!(error(NatsOptions::new("127.0.0.1").require_tls().dangerous_plaintext()).contains("leave out one"));
    }
}
