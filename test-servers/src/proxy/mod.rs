//! A faulty network.

mod chaos;
mod wire;

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::wire::{End, Faults, forward};
use crate::{Error, ports};

/// A TCP proxy in front of a server of the test, whose faults are switched while it runs.
///
/// A fault stays until it is taken back, all of them by [`calm`](Self::calm). Dropping the proxy cuts its connections.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), test_servers::Error> {
/// use test_servers::{NatsServer, Proxy};
///
/// let server = NatsServer::start().await?;
/// let proxy = Proxy::start(server.port(), 7).await?;
/// println!("{}", proxy.url());
/// proxy.chaos();
/// proxy.calm();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    seed: u64,
    switch: Switch,
    accepted: Accepted,
    accepting: JoinHandle<()>,
    chaos: Mutex<Option<JoinHandle<()>>>,
}

/// When each connection came.
type Accepted = Arc<Mutex<Vec<std::time::Instant>>>;

/// Which bytes a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What clients say.
    ToServer,
    /// What the server says.
    ToClient,
    /// All of them.
    Both,
}

/// What the proxy and its chaos turn, and the connections look at.
#[derive(Clone, Debug)]
struct Switch {
    faults: watch::Sender<Faults>,
    /// How often connections were ended, and how the last time.
    end: watch::Sender<(u64, End)>,
}

impl Proxy {
    /// A proxy to a port of this machine, without faults. The seed is for [`chaos`](Self::chaos).
    ///
    /// # Errors
    ///
    /// It can't listen.
    pub async fn start(target_port: u16, seed: u64) -> Result<Self, Error> {
        let port = ports::free();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(Error::io("listen as a proxy"))?;
        let switch = Switch { faults: watch::Sender::default(), end: watch::Sender::new((0, End::Closed)) };
        let accepted = Accepted::default();
        let accepting = tokio::spawn(accept(listener, target_port, switch.clone(), accepted.clone()));
        Ok(Self { port, seed, switch, accepted, accepting, chaos: Mutex::default() })
    }

    /// Where clients connect: `nats://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The clients' port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// When each connection came so far, those that were refused or found no server included.
    #[must_use]
    pub fn accepted(&self) -> Vec<std::time::Instant> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes all connections.
    pub fn cut(&self) {
        self.switch.end(End::Closed);
    }

    /// Resets all connections; what was under way is lost.
    pub fn reset(&self) {
        self.switch.end(End::Reset);
    }

    /// Resets new connections at once, or no longer.
    pub fn refuse(&self, refuse: bool) {
        self.switch.turn(|faults| faults.refuse = refuse);
    }

    /// Loses what is said this way, and says nothing of it. TCP leaves no gap: once this is taken back, the connections
    /// that have lost something are reset.
    pub fn black_hole(&self, way: Way) {
        self.switch.turn(|faults| faults.on(way, |wire| wire.hole = true));
    }

    /// Holds what is said this way for so long, then lets it through.
    pub fn stall(&self, way: Way, time: Duration) {
        self.switch.turn(|faults| faults.on(way, |wire| wire.stalled_until = Some(Instant::now() + time)));
    }

    /// Lets every piece that is said this way wait for so long.
    pub fn delay(&self, way: Way, time: Duration) {
        self.switch.turn(|faults| faults.on(way, |wire| wire.delay = time));
    }

    /// Sends byte by byte.
    pub fn one_byte_chunks(&self, way: Way) {
        self.switch.turn(|faults| faults.on(way, |wire| wire.bytewise = true));
    }

    /// Takes all faults back, and ends the chaos.
    pub fn calm(&self) {
        self.switch.turn(|faults| *faults = Faults::none(faults.chaos + 1));
        if let Some(chaos) = self.running().take() {
            chaos.abort();
        }
    }

    /// Begins a random mix of faults, in an order and for times that the seed decides; it is printed. Goes on until
    /// [`calm`](Self::calm).
    pub fn chaos(&self) {
        eprintln!("chaos on port {} by seed {}", self.port, self.seed);
        self.calm();
        let chaos = chaos::run(self.switch.clone(), fastrand::Rng::with_seed(self.seed));
        *self.running() = Some(tokio::spawn(chaos));
    }

    fn running(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.chaos.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.calm();
        self.accepting.abort();
        self.cut();
    }
}

impl Switch {
    fn turn(&self, change: impl FnOnce(&mut Faults)) {
        self.faults.send_modify(change);
    }

    fn end(&self, how: End) {
        self.end.send_modify(|(times, last)| (*times, *last) = (*times + 1, how));
    }
}

async fn accept(listener: TcpListener, target: u16, switch: Switch, accepted: Accepted) {
    while let Ok((client, _)) = listener.accept().await {
        accepted.lock().unwrap_or_else(PoisonError::into_inner).push(std::time::Instant::now());
        if switch.faults.borrow().refuse {
            // Dropped with this, it is reset and not closed.
            let _ = client.set_zero_linger();
            continue;
        }
        // From now on, so that no order to end is missed.
        let (faults, end) = (switch.faults.subscribe(), switch.end.subscribe());
        tokio::spawn(async move {
            // Dropped without a server, the client's connection is closed.
            if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await {
                forward(client, server, &faults, end).await;
            }
        });
    }
}
