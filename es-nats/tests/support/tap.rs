//! A wire between client and server that shows what goes over it, and loses what it is told to.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

#[derive(Debug)]
pub struct Tap {
    port: u16,
    sent: Arc<Mutex<Vec<u8>>>,
    deaf: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    cut: watch::Sender<u32>,
    accepting: JoinHandle<()>,
}

impl Tap {
    pub async fn to(server: &test_servers::NatsServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sent, deaf) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let cut = watch::Sender::new(0);
        let (noting, losing, cuts, server) = (sent.clone(), deaf.clone(), cut.clone(), server.port());
        let connections = Arc::new(AtomicUsize::new(0));
        let counting = connections.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counting.fetch_add(1, Ordering::SeqCst);
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
                let (sent, deaf, mut cut) = (noting.clone(), losing.clone(), cuts.subscribe());
                tokio::spawn(async move {
                    tokio::select! {
                        () = forward(client, server, &sent, &deaf) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { port, sent, deaf, connections, cut, accepting }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// What clients have sent so far.
    pub fn sent(&self) -> Vec<u8> {
        self.sent.lock().unwrap().clone()
    }

    pub fn has_sent(&self, text: &str) -> usize {
        self.sent().windows(text.len()).filter(|window| *window == text.as_bytes()).count()
    }

    /// How often a client has connected.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Loses all that the server says from now on, or no longer.
    pub fn swallow(&self, swallow: bool) {
        self.deaf.store(swallow, Ordering::SeqCst);
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(mut client: TcpStream, mut server: TcpStream, sent: &Mutex<Vec<u8>>, deaf: &AtomicBool) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.split(), server.split());
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = from_client.read(&mut up) => match read {
                Ok(bytes @ 1..) => {
                    sent.lock().unwrap().extend_from_slice(&up[..bytes]);
                    if to_server.write_all(&up[..bytes]).await.is_err() { return }
                }
                _ => return,
            },
            read = from_server.read(&mut down) => match read {
                Ok(bytes @ 1..) => {
                    let lost = deaf.load(Ordering::SeqCst);
                    if !lost && to_client.write_all(&down[..bytes]).await.is_err() { return }
                }
                _ => return,
            },
        }
    }
}
