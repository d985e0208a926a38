//! One connection through a proxy.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::Way;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Reset,
}

/// What is wrong with the network now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    /// Which chaos may change them; the number of an earlier one is too late.
    pub(super) chaos: u64,
    pub(super) refuse: bool,
    to_server: Wire,
    to_client: Wire,
}

/// What is wrong in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wire {
    pub(super) hole: bool,
    pub(super) stalled_until: Option<Instant>,
    pub(super) delay: Duration,
    pub(super) bytewise: bool,
}

impl Faults {
    pub(super) fn none(chaos: u64) -> Self {
        Self { chaos, ..Self::default() }
    }

    pub(super) fn on(&mut self, way: Way, change: impl Fn(&mut Wire)) {
        if way != Way::ToClient {
            change(&mut self.to_server);
        }
        if way != Way::ToServer {
            change(&mut self.to_client);
        }
    }
}

/// Forwards both ways until one side ends the connection, or the proxy does.
pub(super) async fn forward(
    mut client: TcpStream,
    mut server: TcpStream,
    faults: &watch::Receiver<Faults>,
    mut end: watch::Receiver<(u64, End)>,
) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let how = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        tokio::select! {
            how = pump(from_client, to_server, faults.clone(), |faults| faults.to_server) => how,
            how = pump(from_server, to_client, faults.clone(), |faults| faults.to_client) => how,
            Ok(()) = end.changed() => end.borrow().1,
        }
    };
    if how == End::Reset {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut faults: watch::Receiver<Faults>,
    way: fn(&Faults) -> Wire,
) -> End {
    let mut buffer = vec![0; 1 << 14];
    let mut lost = false;
    loop {
        let wire = way(&faults.borrow_and_update());
        if lost && !wire.hole {
            return End::Reset;
        }
        let stalled = wire.stalled_until.filter(|until| *until > Instant::now());
        let read = tokio::select! {
            read = from.read(&mut buffer), if stalled.is_none() => read,
            () = sleep_until(stalled.unwrap_or_else(Instant::now)), if stalled.is_some() => continue,
            Ok(()) = faults.changed() => continue,
        };
        let written = match read {
            Ok(0) => return End::Closed,
            Ok(bytes) if way(&faults.borrow()).hole => {
                lost |= bytes > 0;
                Ok(())
            }
            Ok(bytes) => write(&mut to, &buffer[..bytes], wire).await,
            Err(error) => Err(error),
        };
        if written.is_err() {
            return End::Reset;
        }
    }
}

async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8], wire: Wire) -> io::Result<()> {
    if !wire.delay.is_zero() {
        sleep(wire.delay).await;
    }
    if !wire.bytewise {
        return to.write_all(bytes).await;
    }
    for byte in bytes {
        to.write_all(&[*byte]).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
