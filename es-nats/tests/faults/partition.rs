//! One part is cut off while all others go on.

use std::time::Duration;

use async_nats::jetstream;
use test_servers::Way;
use tokio::time::sleep;

use crate::{proxy::start, support::is_long};

/// The parts, in the order of their proxies.
const PARTS: [(&str, Way); 4] = [
    ("the clients", Way::ToServer),
    ("the server of commands", Way::ToClient),
    ("the relay", Way::Both),
    ("the read model", Way::ToClient),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_cut_off_in_silence_comes_back_by_itself() {
    let (server, proxies, whole) = start(1).await;
    for (proxy, (part, way)) in proxies.iter().zip(PARTS) {
        let connections = proxy.accepted().len();
        proxy.black_hole(way);
        if matches!(part, "the relay" | "the read model") {
            whole.works(50).await;
        }
        if is_long() {
            // Three questions are not answered, ten seconds apart; then it leaves the connection by itself.
            sleep(Duration::from_secs(70)).await;
            let more = proxy.accepted().len() - connections;
            eprintln!("{part}: {more} attempts to connect meanwhile");
            assert!(more > 0, "{part} has not noticed");
        } else {
            sleep(Duration::from_millis(500)).await;
        }
        proxy.calm();
        // For one whose connection lost nothing, and for one that makes another at this moment.
        proxy.reset();
        whole.works(50).await;
    }
    whole.check(&jetstream::new(async_nats::connect(server.url()).await.unwrap())).await;
}
