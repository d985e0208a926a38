//! Several nats-servers that are one.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use crate::server::{PATIENCE, POLL, TRIES};
use crate::{Error, NatsServer, ports};

/// How long a leader may be wanting. Generous: an election takes seconds, and the machine may be busy.
const ELECTION: Duration = Duration::from_secs(60);

/// A cluster on the loopback interface, whose JetStream keeps streams on several of its servers.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), test_servers::Error> {
/// use test_servers::NatsCluster;
///
/// let mut cluster = NatsCluster::start(3).await?;
/// println!("{}", cluster.url());
/// cluster.kill(0);
/// cluster.restart(0).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct NatsCluster {
    members: Vec<NatsServer>,
}

impl NatsCluster {
    /// So many servers of the newest release, ready when streams with as many replicas can be made.
    ///
    /// # Errors
    ///
    /// As for [`NatsServer::start`].
    pub async fn start(members: usize) -> Result<Self, Error> {
        let mut tries = 1;
        loop {
            let mut cluster = Self::launch(members).await?;
            match cluster.wait_ready().await {
                Ok(()) => return Ok(cluster),
                Err(error) if tries == TRIES || !cluster.lost_a_port() => return Err(error),
                Err(_) => tries += 1,
            }
        }
    }

    async fn launch(members: usize) -> Result<Self, Error> {
        let name = format!("test-{:08x}", fastrand::u32(..));
        let ports: Vec<_> = (0..members).map(|_| ports::free()).collect();
        let routes: Vec<_> = ports.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let routes = routes.join(", ");
        let mut started = Vec::new();
        for (index, port) in ports.iter().enumerate() {
            let config = format!("cluster {{\nname: {name:?}\nlisten: \"127.0.0.1:{port}\"\nroutes: [{routes}]\n}}\n");
            let member = NatsServer::builder().name(format!("{name}-{index}")).config(&config);
            started.push(member.launch().await?);
        }
        Ok(Self { members: started })
    }

    /// Where clients connect: the members' URLs, separated by commas.
    #[must_use]
    pub fn url(&self) -> String {
        self.urls().join(",")
    }

    /// The members' URLs.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.members.iter().map(NatsServer::url).collect()
    }

    /// One of the servers.
    ///
    /// # Panics
    ///
    /// There are not so many.
    #[must_use]
    pub fn member(&self, index: usize) -> &NatsServer {
        &self.members[index]
    }

    /// Kills a member at once, as [`NatsServer::kill`].
    ///
    /// # Panics
    ///
    /// There are not so many.
    pub fn kill(&mut self, index: usize) {
        self.members[index].kill();
    }

    /// Holds a member, as [`NatsServer::stop_signal`]: for the others it is behind a network that loses everything.
    ///
    /// # Panics
    ///
    /// There are not so many.
    pub fn hold(&mut self, index: usize) {
        self.members[index].stop_signal();
    }

    /// Starts a member again, and waits until it has caught up with the others.
    ///
    /// # Errors
    ///
    /// As for [`NatsServer::start`]; also when there are too few others for it to be one of them.
    ///
    /// # Panics
    ///
    /// There are not so many.
    pub async fn restart(&mut self, index: usize) -> Result<(), Error> {
        self.members[index].restart().await
    }

    /// The member that leads a stream, once there is one.
    ///
    /// # Errors
    ///
    /// There is none for long.
    pub async fn leader_of(&self, stream: &str) -> Result<usize, Error> {
        let deadline = Instant::now() + ELECTION;
        while Instant::now() < deadline {
            for (index, member) in self.members.iter().enumerate() {
                // Only what it says of itself: the others may not have heard.
                if leads(member, stream).await {
                    return Ok(index);
                }
            }
            sleep(POLL).await;
        }
        Err(self.members[0].not_ready(format!("and the others have no leader of {stream} within {ELECTION:?}")))
    }

    async fn wait_ready(&mut self) -> Result<(), Error> {
        for member in &mut self.members {
            member.wait_ready().await?;
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            for member in &self.members {
                if member
                    .monitor("/jsz")
                    .await
                    .is_ok_and(|said| knows_all(&said["meta_cluster"], member, &self.members))
                {
                    return Ok(());
                }
            }
            sleep(POLL).await;
        }
        Err(self.members[0].not_ready(format!("and the others were no cluster within {PATIENCE:?}")))
    }

    fn lost_a_port(&self) -> bool {
        self.members.iter().any(NatsServer::lost_its_port)
    }
}

/// Whether the member leads the cluster and has all others with it.
fn knows_all(meta: &Value, member: &NatsServer, members: &[NatsServer]) -> bool {
    let others = meta["replicas"].as_array().map(Vec::as_slice).unwrap_or_default();
    let there = |other: &NatsServer| {
        let is = |replica: &Value| {
            replica["name"] == other.name() && replica["current"] == true && replica["offline"] != true
        };
        other.name() == member.name() || others.iter().any(is)
    };
    meta["leader"] == member.name() && members.iter().all(there)
}

async fn leads(member: &NatsServer, stream: &str) -> bool {
    let Ok(said) = member.monitor("/jsz?streams=true").await else { return false };
    let accounts = said["account_details"].as_array().into_iter().flatten();
    let mut streams = accounts.flat_map(|account| account["stream_detail"].as_array().into_iter().flatten());
    streams.any(|found| found["name"] == stream && found["cluster"]["leader"] == member.name())
}
