//! One server: versions, ends, restarts, signals.

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use futures_util::StreamExt;
use test_servers::{Error, NatsServer, NatsVersion};
use tokio::time::timeout;

#[tokio::test]
async fn each_version_starts_and_answers() {
    for (version, prefix) in [(NatsVersion::Newest, "2."), (NatsVersion::Older, "2.1"), (NatsVersion::TooOld, "2.9.")] {
        let server = NatsServer::builder().version(version).start().await.unwrap();
        let client = async_nats::connect(server.url()).await.unwrap();
        let info = client.server_info();
        assert!(info.version.starts_with(prefix), "{version:?} is {}", info.version);
        assert_eq!(info.server_name, server.name());
        client.flush().await.unwrap();
    }
}

async fn a_stream(jetstream: &jetstream::Context) {
    let config = stream::Config { name: "S".into(), subjects: vec!["s".into()], ..Default::default() };
    jetstream.create_stream(config).await.unwrap();
    jetstream.publish("s", "kept".into()).await.unwrap().await.unwrap();
}

async fn messages(server: &NatsServer) -> u64 {
    let jetstream = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    jetstream.get_stream("S").await.unwrap().cached_info().state.messages
}

#[tokio::test]
async fn a_killed_server_restarts_at_its_port_with_its_stream() {
    let mut server = NatsServer::builder().sync_always().start().await.unwrap();
    let (port, pid) = (server.port(), server.pid());
    a_stream(&jetstream::new(async_nats::connect(server.url()).await.unwrap())).await;
    server.kill();
    assert_eq!(server.pid(), None);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    server.restart().await.unwrap();
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
    assert_eq!(messages(&server).await, 1);
}

#[tokio::test]
async fn a_restart_waits_until_its_port_is_free() {
    let mut server = NatsServer::builder().jetstream(false).start().await.unwrap();
    let log = server.store_dir().parent().unwrap().join("log");
    server.kill();
    let taken = std::net::TcpListener::bind(("127.0.0.1", server.port())).unwrap();
    let freed = tokio::spawn(async move {
        while !std::fs::read_to_string(&log).unwrap().contains("address already in use") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(taken);
    });
    server.restart().await.unwrap();
    freed.await.unwrap();
    async_nats::connect(server.url()).await.unwrap();
}

#[tokio::test]
async fn an_upgrade_keeps_the_stream() {
    let mut server = NatsServer::builder().version(NatsVersion::Older).start().await.unwrap();
    a_stream(&jetstream::new(async_nats::connect(server.url()).await.unwrap())).await;
    server.shutdown().await.unwrap();
    server.restart_with(|builder| builder.version(NatsVersion::Newest)).await.unwrap();
    assert_eq!(messages(&server).await, 1);
}

#[tokio::test]
async fn a_held_server_answers_when_it_goes_on() {
    let mut server = NatsServer::builder().jetstream(false).start().await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut echo = client.subscribe("echo").await.unwrap();
    client.flush().await.unwrap();
    server.stop_signal();
    client.publish("echo", "held".into()).await.unwrap();
    assert!(timeout(Duration::from_millis(300), echo.next()).await.is_err());
    server.cont_signal();
    assert_eq!(timeout(Duration::from_secs(20), echo.next()).await.unwrap().unwrap().payload, "held");
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_its_log() {
    let error = NatsServer::builder().config("no_such_setting: 1").start().await.unwrap_err();
    assert!(matches!(error, Error::NotReady { .. }), "{error:?}");
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}
