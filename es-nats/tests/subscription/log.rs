//! The stream read as a log: the same pages, the same events.

use es_core::{Error, EventLog, Filter, Tenant};
use es_nats::Subscription;

use crate::support::{Rig, STREAM, append, fill, log};

#[tokio::test(flavor = "multi_thread")]
async fn it_has_every_event_of_the_store_and_ends_pages_where_commits_end() {
    let rig = Rig::new().await;
    fill(&rig.store, 1_500).await;
    let running = rig.start().await;
    rig.equal(&running).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    assert_eq!(subscription.identity(), rig.store.identity());
    assert_eq!(subscription.head().await.unwrap(), 1_500);

    let (mut events, mut after) = (Vec::new(), 0);
    for limit in [1, 2, 3, 50, 400].into_iter().cycle() {
        let page = subscription.read_all(after, limit, &Filter::all()).await.unwrap();
        if let Some(last) = page.events.last() {
            assert_eq!(last.meta.position, last.meta.commit_last, "a page ends where a commit does");
            assert_eq!(page.scanned_to, last.meta.position);
        }
        if page.scanned_to == after {
            break;
        }
        after = page.scanned_to;
        events.extend(page.events);
    }
    assert_eq!(events, log(&rig.store).await);
    assert!(subscription.read_all(1_500, 10, &Filter::all()).await.unwrap().events.is_empty());
    assert_eq!(subscription.read_all(3, 0, &Filter::all()).await.unwrap().scanned_to, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_gives_what_the_store_would_give_and_looks_at_everything() {
    let rig = Rig::new().await;
    fill(&rig.store, 700).await;
    let running = rig.start().await;
    rig.equal(&running).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    let acme = Tenant::new("acme-inc.").unwrap();
    let filters = [
        Filter::all().tenant(acme),
        Filter::all().stream_types(["bank.v1.Account"]).partition(1, 3),
        Filter::all().event_types(["bank.v1.MoneyDeposited"]),
        Filter::all().event_types(["shop.v1.OrderPlaced"]),
        Filter::all().stream_types(["bank.v1.Account", "shop.v1.Order"]).event_types(["bank.v1.MoneyDeposited"]),
    ];
    for filter in filters {
        let expected: Vec<_> = log(&rig.store).await.into_iter().filter(|event| filter.admits(&event.meta)).collect();
        let (mut events, mut after) = (Vec::new(), 0);
        while after < 700 {
            let page = subscription.read_all(after, 60, &filter).await.unwrap();
            assert!(page.scanned_to > after, "{filter:?} at {after}");
            after = page.scanned_to;
            events.extend(page.events);
        }
        assert_eq!(events, expected, "{filter:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_hears_of_new_events() {
    let rig = Rig::new().await;
    let running = rig.start().await;
    append(&rig.store, 1, 2).await;
    rig.equal(&running).await;
    let subscription = Subscription::open(&rig.nats().await, STREAM).await.unwrap();
    let mut head = subscription.watch();
    assert_eq!(*head.borrow_and_update(), 2);
    append(&rig.store, 2, 3).await;
    while *head.borrow_and_update() < 5 {
        tokio::time::timeout(std::time::Duration::from_secs(10), head.changed()).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_there_or_not_a_relays_is_refused_in_words() {
    let rig = Rig::new().await;
    let nats = rig.nats().await;
    let error = Subscription::open(&nats, "nothing").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(
        error.to_string().contains("no stream `nothing` yet; it is made when its store's relay first runs"),
        "{error}"
    );

    let foreign = async_nats::jetstream::stream::Config {
        name: "foreign".into(),
        subjects: vec!["foreign.>".into()],
        ..Default::default()
    };
    rig.jetstream().await.create_stream(foreign).await.unwrap();
    let error = Subscription::open(&nats, "foreign").await.unwrap_err();
    assert!(matches!(error, Error::Diverged { .. }), "{error}");
    assert!(error.to_string().contains("no relay has made it"), "{error}");
}
