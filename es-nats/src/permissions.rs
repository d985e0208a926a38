//! Users with no more rights than their work needs, as a part of a NATS server's configuration.

use std::{collections::BTreeSet, fmt};

use es_core::{Error, Result, Tenant};

use crate::{
    escape::token,
    event_subject::{PREFIX, check_prefix},
    subject,
};

/// The requests for stored events, of whatever store.
const STORED_EVENTS: &str = "es.store.*.events";

/// Writes the `authorization` part of a nats-server's configuration: a user for each role of a program, each with the
/// subjects of its role and an inbox of its own. Put it into the server's configuration file, or `include` it there.
///
/// ```
/// use es_core::Tenant;
/// use es_nats::Permissions;
///
/// # fn passwords(_: &str) -> String { "$2a$11$abcdefghijklmnopqrstuv".into() }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Permissions::new("bank")
///     .services(["bank.v1.AccountCommandService", "bank.v1.AccountQueryService"])
///     .service_user("server", passwords("server"))
///     .relay_user("relay", passwords("relay"))
///     .subscriber_user("projector", passwords("projector"))
///     .client_user("web", passwords("web"))
///     .tenant_user("acme", passwords("acme"), [Tenant::new("acme")?])
///     .render()?;
/// assert!(config.contains("\"tenant.acme.bank.v1.AccountCommandService.*\""));
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// std::fs::write(folder.join("auth.conf"), config)?;
/// # Ok(()) }
/// ```
///
/// The server's own file, beside it; `nats-server -c nats.conf` runs it. To other machines, it has to speak TLS.
///
/// ```text
/// port: 4222
/// jetstream { store_dir: "/var/lib/nats" }
/// tls { cert_file: "/etc/nats/server.pem", key_file: "/etc/nats/server.key" }
/// include "auth.conf"
/// ```
///
/// The programs connect with [`NatsOptions::as_user`](crate::NatsOptions::as_user), which shows the user and has answers sent
/// to the inbox of that user. Elsewhere they do not reach it.
///
/// ```no_run
/// # use es_core::{CheckpointStore, EventStore, LocalBus, Result, Runner, Subscriber};
/// # use es_nats::{Nats, NatsOptions, NatsServer, NatsTransport, Relay, Subscription};
/// # fn secret(_: &str) -> String { String::new() }
/// async fn connect(user: &str) -> Result<Nats> {
///     Nats::connect(NatsOptions::new("tls://nats.example.com").as_user(user, secret(user))).await
/// }
///
/// // The program with the store: a connection for the services, and one for the relay.
/// # async fn serve<S: EventStore + CheckpointStore + Clone>(store: S, bus: LocalBus) -> Result<()> {
/// let serving = NatsServer::new(&connect("server").await?, &store).bus(&bus).start().await?;
/// let relay = Relay::builder(&connect("relay").await?).stream("bank").build(&store).await?;
/// let relaying = Runner::new(store).run(relay).start()?;
/// # serving.shutdown().await; relaying.shutdown().await; Ok(()) }
///
/// // A web backend that calls the services and has a read model of its own: the same.
/// # async fn backend(projection: impl Subscriber) -> Result<()> {
/// let transport = NatsTransport::new(&connect("web").await?);
/// let log = Subscription::open_when_there(&connect("projector").await?, "bank").await?;
/// let running = Runner::new(log).run(projection).start()?;
/// # drop(transport); running.shutdown().await; Ok(()) }
/// ```
///
/// | user | may ask for | is asked for |
/// |---|---|---|
/// | service | who else serves the same (`$SRV.INFO`) | calls of its services, `$SRV` |
/// | relay | its stream: make, change, look at, publish `evt.>` to | `es.store.*.events` |
/// | operator | as the relay, and delete the stream | as the relay |
/// | subscriber | the stream's messages and consumers, `es.store.*.events` | |
/// | client | calls of the services, for all tenants | |
/// | tenant | calls of the services, for its tenants | |
///
/// # Two connections for one program
/// A program that does two of these things makes two connections, each with the user for it. A user for both would have
/// rights that harm together: whoever asks names the subject of the answer, so a server that might publish events could be
/// made to answer among them. For the same reason, services and relays may send their answers to the inboxes of the users
/// named here and nowhere else: a user that you add to the file by hand gets no answers from them.
///
/// # What this does not do
/// - NATS does not look at where JetStream itself sends what it is asked for: a subscriber may have it sent to any subject
///   of the account. Give that user to programs you trust; what comes so into the stream stops the relay
///   ([`Diverged`](Error::Diverged)), and readers refuse it.
/// - A subscriber reads the events of all tenants.
/// - Whoever may call a service may say that it acts for any principal.
///
/// # Passwords
/// As they are, or as bcrypt makes them (`nats server passwd`), which is better: the text is then no secret. They are in no
/// `Debug` and in no error.
#[derive(Clone)]
#[must_use = "the configuration is made by `render`"]
pub struct Permissions {
    stream: String,
    prefix: String,
    services: BTreeSet<String>,
    users: Vec<User>,
}

#[derive(Clone)]
struct User {
    name: String,
    password: String,
    role: Role,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    Service,
    Relay,
    Operator,
    Subscriber,
    Client,
    Tenants(Vec<Tenant>),
}

impl Permissions {
    /// For a store whose relay fills this stream.
    pub fn new(stream: impl Into<String>) -> Self {
        Self { stream: stream.into(), prefix: PREFIX.into(), services: BTreeSet::new(), users: Vec::new() }
    }

    /// Sets what the subjects of events begin with, as [`RelayBuilder::prefix`](crate::RelayBuilder::prefix). Default: `evt`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Adds services, by their full names: `bank.v1.AccountCommandService`.
    pub fn services<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.services.extend(names.into_iter().map(Into::into));
        self
    }

    /// Adds a user for [`NatsServer`](crate::NatsServer): it answers the calls of the services.
    pub fn service_user(self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user(name.into(), password.into(), Role::Service)
    }

    /// Adds a user for [`Relay`](crate::Relay): it alone publishes events. It may not delete the stream, so not
    /// [`reseed`](crate::Relay::reseed) it either.
    pub fn relay_user(self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user(name.into(), password.into(), Role::Relay)
    }

    /// Adds a user for whoever repairs: what the relay may, and deleting the stream, for
    /// [`reseed`](crate::Relay::reseed).
    pub fn operator_user(self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user(name.into(), password.into(), Role::Operator)
    }

    /// Adds a user for [`Subscription`](crate::Subscription): it reads the stream, and publishes nothing.
    pub fn subscriber_user(self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user(name.into(), password.into(), Role::Subscriber)
    }

    /// Adds a user for [`NatsTransport`](crate::NatsTransport): it calls the services, without a tenant and for every one.
    pub fn client_user(self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user(name.into(), password.into(), Role::Client)
    }

    /// Adds a user for [`NatsTransport`](crate::NatsTransport) that calls the services for these tenants only.
    pub fn tenant_user(
        self,
        name: impl Into<String>,
        password: impl Into<String>,
        tenants: impl IntoIterator<Item = Tenant>,
    ) -> Self {
        let tenants = tenants.into_iter().collect();
        self.user(name.into(), password.into(), Role::Tenants(tenants))
    }

    /// The inbox of a user, for programs of others; [`NatsOptions::as_user`](crate::NatsOptions::as_user) sets it.
    pub fn inbox_prefix(user: &str) -> String {
        format!("_INBOX_{user}")
    }

    /// The configuration.
    ///
    /// # Errors
    /// [`InvalidId`](Error::InvalidId) for a name that can't be part of a subject; [`InvalidRequest`](Error::InvalidRequest)
    /// for a user that is named twice, has no password or nothing to do, and for services whose subjects are those of
    /// events.
    pub fn render(&self) -> Result<String> {
        self.check()?;
        let users: Vec<_> = self.users.iter().map(|user| self.entry(user)).collect();
        Ok(format!("authorization {{\n  users: [\n{}  ]\n}}\n", users.concat()))
    }

    fn user(mut self, name: String, password: String, role: Role) -> Self {
        self.users.push(User { name, password, role });
        self
    }

    fn check(&self) -> Result<()> {
        let invalid = |why: String| Err(Error::InvalidRequest { why });
        check_token("stream name", &self.stream)?;
        check_prefix(&self.prefix)?;
        for service in &self.services {
            service.split('.').try_for_each(|part| check_token("service name", part))?;
        }
        if self.users.is_empty() {
            return invalid("there are no users; a server with this configuration would let no one in".into());
        }
        let mut names = BTreeSet::new();
        for User { name, password, role } in &self.users {
            check_token("user name", name)?;
            if !names.insert(name) {
                return invalid(format!("user `{name}` is there twice"));
            }
            if password.is_empty() || password.contains(char::is_control) {
                return invalid(format!("user `{name}` has an empty password, or one with control characters"));
            }
            if matches!(role, Role::Service | Role::Client | Role::Tenants(_)) && self.services.is_empty() {
                return invalid(format!("user `{name}` has no services; name them with services()"));
            }
            if matches!(role, Role::Tenants(tenants) if tenants.is_empty()) {
                return invalid(format!("user `{name}` has no tenants; client_user() is for all of them"));
            }
        }
        let inboxes = self.users.iter().map(|user| inbox(&user.name));
        let others: Vec<_> =
            inboxes.chain([self.events(), STORED_EVENTS.into(), "$JS.>".into(), "$SRV.>".into()]).collect();
        for call in self.calls(&Role::Client) {
            if let Some(other) = others.iter().find(|other| subject::overlap(&call, other)) {
                return invalid(format!(
                    "calls of `{call}` would be taken for `{other}`; choose another name or prefix"
                ));
            }
        }
        if [STORED_EVENTS, "$JS.>", "$SRV.>"].iter().any(|other| subject::overlap(&self.events(), other)) {
            return invalid(format!("events can't be under `{}`, which has a meaning already", self.prefix));
        }
        Ok(())
    }

    fn entry(&self, user: &User) -> String {
        let (publish, subscribe) = (self.publishes(&user.role), self.subscribes(user));
        format!(
            "    {{\n      user: {}\n      password: {}\n      permissions: {{\n        publish: {}\n        subscribe: \
             {}\n      }}\n    }}\n",
            quoted(&user.name),
            quoted(&user.password),
            list(&publish),
            list(&subscribe),
        )
    }

    fn publishes(&self, role: &Role) -> Vec<String> {
        let stream = &self.stream;
        let api = |requests: &[&str]| requests.iter().map(|request| format!("$JS.API.{request}")).collect::<Vec<_>>();
        match role {
            Role::Service => {
                let infos = self.services.iter().map(|service| format!("$SRV.INFO.{}", service.replace('.', "-")));
                let asking = |role: &Role| matches!(role, Role::Service | Role::Client | Role::Tenants(_));
                infos.chain(self.inboxes(asking)).collect()
            }
            Role::Relay | Role::Operator => {
                let mut publishes = vec![self.events()];
                publishes.extend(api(&[
                    &format!("STREAM.INFO.{stream}"),
                    &format!("STREAM.CREATE.{stream}"),
                    &format!("STREAM.UPDATE.{stream}"),
                    &format!("STREAM.MSG.GET.{stream}"),
                ]));
                if *role == Role::Operator {
                    publishes.extend(api(&[&format!("STREAM.DELETE.{stream}")]));
                }
                publishes.extend(self.inboxes(|role| *role == Role::Subscriber));
                publishes
            }
            Role::Subscriber => {
                let mut publishes = api(&[
                    &format!("STREAM.INFO.{stream}"),
                    &format!("STREAM.MSG.GET.{stream}"),
                    &format!("CONSUMER.CREATE.{stream}"),
                    &format!("CONSUMER.INFO.{stream}.*"),
                    &format!("CONSUMER.MSG.NEXT.{stream}.*"),
                ]);
                publishes.push(STORED_EVENTS.into());
                publishes
            }
            Role::Client | Role::Tenants(_) => self.calls(role),
        }
    }

    fn subscribes(&self, user: &User) -> Vec<String> {
        let mut subscribes = vec![inbox(&user.name)];
        match user.role {
            Role::Service => {
                subscribes.extend(self.calls(&Role::Client));
                for verb in ["PING", "INFO", "STATS"] {
                    subscribes.push(format!("$SRV.{verb}"));
                    for service in &self.services {
                        let name = service.replace('.', "-");
                        subscribes.extend([format!("$SRV.{verb}.{name}"), format!("$SRV.{verb}.{name}.*")]);
                    }
                }
            }
            Role::Relay | Role::Operator => subscribes.push(STORED_EVENTS.into()),
            Role::Subscriber | Role::Client | Role::Tenants(_) => {}
        }
        subscribes
    }

    /// The subjects that a caller of this role calls.
    fn calls(&self, role: &Role) -> Vec<String> {
        let calls = self.services.iter().flat_map(|service| match role {
            Role::Tenants(tenants) => {
                tenants.iter().map(|tenant| subject::of(Some(tenant), service, "*")).collect::<Vec<_>>()
            }
            _ => vec![subject::of(None, service, "*"), subject::of_any_tenant(service, "*")],
        });
        calls.collect()
    }

    fn inboxes(&self, of: impl Fn(&Role) -> bool) -> Vec<String> {
        self.users.iter().filter(|user| of(&user.role)).map(|user| inbox(&user.name)).collect()
    }

    fn events(&self) -> String {
        format!("{}.>", self.prefix)
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Vec<_> = self.users.iter().map(|user| (&user.name, &user.role)).collect();
        f.debug_struct("Permissions")
            .field("stream", &self.stream)
            .field("prefix", &self.prefix)
            .field("services", &self.services)
            .field("users", &users)
            .finish()
    }
}

fn inbox(user: &str) -> String {
    format!("{}.>", Permissions::inbox_prefix(user))
}

/// Refuses what would not stand as it is in a subject and in the configuration.
fn check_token(what: &'static str, name: &str) -> Result<()> {
    if !name.is_empty() && token(name) == name {
        return Ok(());
    }
    Err(Error::InvalidId {
        what,
        why: format!("{name:?} has something else than letters, digits, `-` and `_`, or nothing"),
    })
}

/// A text in the configuration; control characters are refused before.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn list(subjects: &[String]) -> String {
    let subjects: Vec<_> = subjects.iter().map(|subject| quoted(subject)).collect();
    format!("[{}]", subjects.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bank() -> Permissions {
        Permissions::new("bank").services(["bank.v1.Accounts"])
    }

    fn refusal(permissions: &Permissions) -> String {
        permissions.render().unwrap_err().to_string()
    }

    #[test]
    fn nothing_gets_into_the_configuration_by_a_name() {
        for name in ["", "a b", "a\"", "a.b", "*", ">", "a\n}", "$G", "ü"] {
            assert!(refusal(&bank().client_user(name, "p")).starts_with("invalid user name"), "{name}");
            assert!(refusal(&Permissions::new(name).relay_user("r", "p")).starts_with("invalid stream name"), "{name}");
            let prefixed = bank().prefix(format!("evt.{name}.x")).relay_user("r", "p");
            assert_eq!(prefixed.render().is_ok(), name == "a.b", "{name}");
            let served = Permissions::new("bank").services([format!("x.{name}.y")]).client_user("c", "p");
            assert_eq!(served.render().is_ok(), name == "a.b", "{name}");
        }
        assert_eq!(quoted("a\"b\\"), r#""a\"b\\""#);
    }

    #[test]
    fn what_would_be_wrong_is_refused_with_the_reason() {
        assert!(refusal(&bank()).contains("there are no users"));
        assert!(refusal(&bank().client_user("a", "p").relay_user("a", "q")).contains("`a` is there twice"));
        assert!(refusal(&bank().client_user("a", "")).contains("empty password"));
        assert!(refusal(&bank().client_user("a", "p\n")).contains("control characters"));
        assert!(refusal(&Permissions::new("bank").client_user("a", "p")).contains("no services"));
        assert!(refusal(&bank().tenant_user("a", "p", [])).contains("no tenants"));
        assert!(refusal(&bank().prefix("bank").client_user("a", "p")).contains("would be taken for `bank.>`"));
        assert!(refusal(&bank().prefix("tenant").client_user("a", "p")).contains("would be taken for `tenant.>`"));
        assert!(refusal(&bank().prefix("es").relay_user("a", "p")).contains("has a meaning already"));
        assert!(
            refusal(&bank().services(["es.store.x"]).client_user("a", "p")).contains("would be taken for `es.store")
        );
        assert!(
            refusal(&bank().services(["_INBOX_a"]).client_user("a", "p")).contains("would be taken for `_INBOX_a.>`")
        );
    }

    #[test]
    fn no_password_is_in_its_debug_text() {
        let text = format!("{:?}", bank().client_user("web", "c4n4ry"));
        assert!(text.contains("web") && !text.contains("c4n4ry"), "{text}");
    }
}
