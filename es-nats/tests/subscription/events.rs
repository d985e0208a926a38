//! The plain stream of events.

use std::time::Duration;

use es_core::{Error, EventSet, Filter};
use es_nats::Subscription;
use futures_util::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::support::{Rig, STREAM, append, fill, log};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Opened {
    owner: String,
}

#[derive(Clone, Debug, PartialEq, EventSet)]
#[events(package = "shop.v1")]
enum ShopEvent {
    Opened(Opened),
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gives_what_was_and_what_comes() {
    let rig = Rig::new().await;
    fill(&rig.store, 300).await;
    let running = rig.start().await;
    rig.equal(&running).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    let mut events = subscription.events(100, Filter::all());
    let mut got: Vec<_> = events.by_ref().take(200).try_collect().await.unwrap();
    append(&rig.store, 7, 5).await;
    for _ in 0..5 {
        got.push(timeout(Duration::from_secs(10), events.try_next()).await.unwrap().unwrap().unwrap());
    }
    assert_eq!(got, log(&rig.store).await[100..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_one_aggregate_come_decoded_and_an_unknown_one_is_an_error() {
    use es_core::{AggregateId, Commit, EventStore, Expected, NewEvent, StreamKey};

    let rig = Rig::new().await;
    let running = rig.start().await;
    let stream = StreamKey::new(None, "shop.v1.Shop", AggregateId::new("s-1").unwrap());
    let opened = ShopEvent::Opened(Opened { owner: "Ada".into() });
    append(&rig.store, 1, 3).await;
    let events = vec![NewEvent::encode(&opened).unwrap(), NewEvent::raw("shop.v1.Burnt", b"")];
    rig.store.append(Commit::append(stream, Expected::NoStream, events)).await.unwrap();
    rig.relayed(&running).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    let mut events = subscription.events_of::<ShopEvent>("shop.v1.Shop", 0);
    let (event, meta) = events.try_next().await.unwrap().unwrap();
    assert_eq!((event, meta.position), (opened, 4));
    let error = events.try_next().await.unwrap_err();
    assert!(matches!(error, Error::UnknownEventType { position: 5, .. }), "{error}");
}
