use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::guarded::Guarded;
use crate::{Error, NatsVersion, monitor, ports};

/// How long a server may take to start or to end. Generous: the machine may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const POLL: Duration = Duration::from_millis(10);
/// How many times a start with free ports is tried: another process may take one of them first.
pub(crate) const TRIES: u32 = 5;

/// A nats-server of the test's own, on the loopback interface, with a temporary folder.
///
/// Dropping it kills the server and removes the folder.
#[derive(Debug)]
pub struct NatsServer {
    builder: NatsServerBuilder,
    port: u16,
    monitor: u16,
    folder: Arc<TempDir>,
    process: Option<Guarded>,
    /// How long the log was when the server was last started.
    logged: usize,
}

impl NatsServer {
    /// The newest server, with JetStream, ready for connections.
    ///
    /// # Errors
    ///
    /// There is no binary, or it does not start; the text has the end of its log.
    pub async fn start() -> Result<Self, Error> {
        Self::builder().start().await
    }

    /// A server with other settings.
    pub fn builder() -> NatsServerBuilder {
        NatsServerBuilder::default()
    }

    /// Where clients connect: `nats://127.0.0.1:port`. The same after a restart.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The clients' port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's name, as clients see it in `INFO`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.builder.name
    }

    /// The server's process, or `None` while it is down.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Guarded::id)
    }

    /// JetStream's folder, to look into or to damage while the server is down.
    #[must_use]
    pub fn store_dir(&self) -> PathBuf {
        self.builder.store_dir.clone().unwrap_or_else(|| self.folder.path().join("store"))
    }

    /// What the server has logged, since the first start.
    #[must_use]
    pub fn log(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// What the server's monitoring endpoint says at `path`, for example `/jsz?streams=true`.
    ///
    /// # Errors
    ///
    /// The server is down, stopped, or answers no JSON.
    pub async fn monitor(&self, path: &str) -> Result<Value, Error> {
        monitor::get(self.monitor, path).await.map_err(Error::io(format!("ask {} for {path}", self.name())))
    }

    /// Kills the server at once (`SIGKILL`). What it had not written to a file is lost, what it had not synced is not.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Asks the server to end (`SIGTERM`) and waits for it.
    ///
    /// # Errors
    ///
    /// It does not end in time.
    pub async fn shutdown(&mut self) -> Result<(), Error> {
        let Some(process) = &mut self.process else { return Ok(()) };
        process.signal(Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while process.ended().is_none() {
            if Instant::now() > deadline {
                return Err(self.not_ready(format!("did not end within {PATIENCE:?}")));
            }
            sleep(POLL).await;
        }
        self.process = None;
        Ok(())
    }

    /// Holds the server (`SIGSTOP`): its connections stay open and nothing is answered.
    pub fn stop_signal(&mut self) {
        if let Some(process) = &mut self.process {
            process.signal(Signal::STOP);
        }
    }

    /// Lets a held server go on (`SIGCONT`).
    pub fn cont_signal(&mut self) {
        if let Some(process) = &mut self.process {
            process.signal(Signal::CONT);
        }
    }

    /// Starts the server again, with the same port and files; kills it first if it runs. Waits for the port if something
    /// else has it meanwhile.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.restart_with(|builder| builder).await
    }

    /// As [`restart`](Self::restart), with changed settings: another version, another configuration.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub async fn restart_with(
        &mut self,
        change: impl FnOnce(NatsServerBuilder) -> NatsServerBuilder,
    ) -> Result<(), Error> {
        self.kill();
        self.builder = change(self.builder.clone());
        let binary = self.builder.binary().await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.launch(&binary)?;
            match self.wait_ready().await {
                Err(_) if self.lost_its_port() && Instant::now() < deadline => sleep(POLL).await,
                ready => return ready,
            }
        }
    }

    /// Lets the running server read its configuration again (`SIGHUP`), with changed settings: other users, other
    /// certificates. It cuts the connections of users who are gone, and leaves the others.
    ///
    /// # Errors
    ///
    /// It does not take the configuration, or does not say that it has in time.
    pub async fn reload_with(
        &mut self,
        change: impl FnOnce(NatsServerBuilder) -> NatsServerBuilder,
    ) -> Result<(), Error> {
        self.builder = change(self.builder.clone());
        self.write_config()?;
        let logged = self.log().len();
        if let Some(process) = &mut self.process {
            process.signal(Signal::HUP);
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.log().get(logged..).is_some_and(|log| log.contains("Reloaded server configuration")) {
            if Instant::now() > deadline {
                return Err(self.not_ready(format!("did not take its configuration within {PATIENCE:?}")));
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    fn write_config(&self) -> Result<PathBuf, Error> {
        let config = self.folder.path().join("nats.conf");
        let text = self.builder.text(self.port, self.monitor, &self.store_dir());
        fs::write(&config, text).map_err(Error::io("write the configuration of nats-server"))?;
        Ok(config)
    }

    fn launch(&mut self, binary: &Path) -> Result<(), Error> {
        self.logged = self.log().len();
        let config = self.write_config()?;
        let log = File::options().create(true).append(true).open(self.log_path());
        let log = log.map_err(Error::io("open the log of nats-server"))?;
        let mut program = Command::new(binary);
        program.arg("--config").arg(&config);
        self.process = Some(Guarded::start(&program, &log).map_err(Error::io("start nats-server"))?);
        Ok(())
    }

    /// Waits until the server accepts clients and is healthy, which includes its streams.
    pub(crate) async fn wait_ready(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.process.as_mut().map(Guarded::ended) {
                None => return Err(self.not_ready("is not started".into())),
                Some(Some(status)) => return Err(self.not_ready(format!("ended before it was ready ({status})"))),
                Some(None) => {}
            }
            if self.is_ready().await {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(self.not_ready(format!("was not ready within {PATIENCE:?}")));
            }
            sleep(POLL).await;
        }
    }

    async fn is_ready(&self) -> bool {
        // The name, because a server of another process may have taken the port.
        let ours = self.monitor("/varz").await.is_ok_and(|said| said["server_name"] == self.name());
        let healthy = ours && self.monitor("/healthz").await.is_ok_and(|said| said["status"] == "ok");
        healthy && TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.is_ok()
    }

    pub(crate) fn not_ready(&self, why: String) -> Error {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(30)..].join("\n");
        Error::NotReady { why, log: self.log_path(), tail }
    }

    /// Whether it did not start because something else has one of its ports.
    pub(crate) fn lost_its_port(&self) -> bool {
        self.log().get(self.logged..).is_some_and(|log| log.contains("address already in use"))
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

/// Settings of a [`NatsServer`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct NatsServerBuilder {
    version: NatsVersion,
    name: String,
    port: Option<u16>,
    jetstream: bool,
    store_dir: Option<PathBuf>,
    jetstream_config: String,
    config: String,
}

impl Default for NatsServerBuilder {
    fn default() -> Self {
        Self {
            version: NatsVersion::default(),
            name: format!("test-{:08x}", fastrand::u32(..)),
            port: None,
            jetstream: true,
            store_dir: None,
            jetstream_config: String::new(),
            config: String::new(),
        }
    }
}

impl NatsServerBuilder {
    /// Which release. Default: the newest.
    pub fn version(mut self, version: NatsVersion) -> Self {
        self.version = version;
        self
    }

    /// The server's name. Default: a random one.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The clients' port. Default: a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Whether the server has JetStream. Default: yes.
    pub fn jetstream(mut self, jetstream: bool) -> Self {
        self.jetstream = jetstream;
        self
    }

    /// Keeps what JetStream has in this folder. Default: a temporary one, which goes with the server.
    pub fn store_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.store_dir = Some(folder.into());
        self
    }

    /// Adds lines to the configuration's `jetstream` block: limits, an encryption key.
    pub fn jetstream_config(mut self, lines: &str) -> Self {
        self.jetstream_config.push_str(lines);
        self.jetstream_config.push('\n');
        self
    }

    /// Lets JetStream sync every message to disk before it acknowledges. From 2.10 on; an older server does not start.
    pub fn sync_always(self) -> Self {
        self.jetstream_config("sync_interval: always")
    }

    /// Adds lines to the configuration: users, TLS, limits.
    pub fn config(mut self, lines: &str) -> Self {
        self.config.push_str(lines);
        self.config.push('\n');
        self
    }

    /// Replaces the lines added by [`config`](Self::config).
    pub fn replace_config(mut self, lines: &str) -> Self {
        self.config.clear();
        self.config(lines)
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Errors
    ///
    /// As for [`NatsServer::start`].
    pub async fn start(self) -> Result<NatsServer, Error> {
        let mut tries = 1;
        loop {
            let mut server = self.clone().launch().await?;
            match server.wait_ready().await {
                Ok(()) => return Ok(server),
                Err(error) if tries == TRIES || !server.lost_its_port() => return Err(error),
                Err(_) => tries += 1,
            }
        }
    }

    /// Starts the server without waiting.
    pub(crate) async fn launch(self) -> Result<NatsServer, Error> {
        let binary = self.binary().await?;
        let folder = tempfile::Builder::new().prefix("nats-server-").tempdir();
        let folder = Arc::new(folder.map_err(Error::io("create a temporary folder"))?);
        let port = self.port.unwrap_or_else(ports::free);
        let mut server = NatsServer { builder: self, port, monitor: ports::free(), folder, process: None, logged: 0 };
        server.launch(&binary)?;
        Ok(server)
    }

    async fn binary(&self) -> Result<PathBuf, Error> {
        let version = self.version;
        let search = tokio::task::spawn_blocking(move || version.binary());
        search.await.map_err(|error| Error::NoBinary(format!("the search for nats-server panicked: {error}")))?
    }

    fn text(&self, port: u16, monitor: u16, store: &Path) -> String {
        let Self { name, jetstream_config, config, .. } = self;
        let jetstream = if self.jetstream {
            format!("jetstream {{\nstore_dir: {:?}\n{jetstream_config}}}\n", store.display().to_string())
        } else {
            String::new()
        };
        format!(
            "server_name: {name:?}\nlisten: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor}\"\n{jetstream}{config}"
        )
    }
}
