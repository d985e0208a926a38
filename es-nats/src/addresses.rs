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
            let (server, named) = parse(url).map_err(|why| invalid(index, options.servers.len(), &why))?;
            if named.is_some() && credentials.is_some() && named != credentials {
                let why = "says who we are, and so does something else, differently";
                return Err(invalid(index, options.servers.len(), why));
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

/// A server, and the user and password, or the token, of its URL; or what is wrong with it.
fn parse(url: &str) -> Result<(ServerAddr, Option<Credentials>), String> {
    if url.is_empty() {
        return Err("is empty; write one like nats://127.0.0.1:4222".into());
    }
    // The cause says what is wrong in general words and does not quote the URL.
    let unreadable = |error: std::io::Error| format!("can't be read: {error}");
    let server: ServerAddr = url.parse().map_err(unreadable)?;
    if server.is_websocket() {
        return Err("is a WebSocket; only nats:// and tls:// are supported".into());
    }
    if server.host().is_empty() {
        return Err("has no host".into());
    }
    let text = |part: &str| match percent::decode(part) {
        Some(decoded) => Ok(decoded.into_owned()),
        None => Err("has a user or password that is no text"),
    };
    let credentials = match (server.username(), server.password()) {
        (Some(user), Some(password)) => Some(Credentials::UserAndPassword(text(user)?, text(password)?)),
        (Some(token), None) => Some(Credentials::Token(text(token)?)),
        (None, Some(_)) => return Err("has a password and no user".into()),
        (None, None) => None,
    };
    let mut url = server.into_inner();
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return Err("can't be one of a server".into());
    }
    Ok((ServerAddr::from_url(url).map_err(unreadable)?, credentials))
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn invalid(index: usize, count: usize, why: &str) -> Error {
    // Which one only matters among several.
    let which = if count > 1 { format!("{} of {count} ", index + 1) } else { String::new() };
    Error::InvalidRequest { why: format!("the NATS server URL {which}{why}") }
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
        assert_eq!(
            error("".into()),
            "invalid request: the NATS server URL is empty; write one like nats://127.0.0.1:4222"
        );
        let second = error("127.0.0.1,ftp://x".into());
        assert!(second.contains("the NATS server URL 2 of 2 can't be read: "), "{second}");
        assert!(error(NatsOptions::new("127.0.0.1").require_tls().dangerous_plaintext()).contains("leave out one"));
    }
}
