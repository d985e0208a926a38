//! Many writers, and readers beside them.

use futures_util::future::join_all;

use super::*;

const WRITERS: usize = 16;
const APPENDS: usize = 10;

/// Two create one stream: one does, the other is told.
pub async fn of_two_creators_one_wins(store: &impl EventStore) {
    for round in 0..20 {
        let stream = stream(&format!("new-{round}"));
        let create = || store.append(to(stream.clone(), Expected::NoStream, 1));
        let (one, other) = futures_util::future::join(create(), create()).await;
        let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
        assert_eq!(won.unwrap().committed().unwrap().versions, [1]);
        assert_conflict(&lost.unwrap_err(), &stream, 1);
        assert_eq!(store.version(&stream).await.unwrap(), 1);
    }
}

/// Writers that retry their conflicts all get through, once each.
pub async fn sixteen_writers_of_one_stream_lose_nothing(store: &impl EventStore) {
    let write = |writer: usize| async move {
        for append in 0..APPENDS {
            loop {
                let version = store.version(&stream("a")).await.unwrap();
                let content = format!("{writer}/{append}");
                let commit = Commit::append(stream("a"), Expected::Exact(version), vec![event(content)]);
                match store.append(commit).await {
                    Ok(_) => break,
                    Err(Error::Conflict { .. }) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    };
    join_all((0..WRITERS).map(write)).await;
    let mut read = contents(store, &stream("a")).await;
    read.sort();
    read.dedup();
    assert_eq!(read.len(), WRITERS * APPENDS);
    assert_eq!(store.head().await.unwrap(), (WRITERS * APPENDS) as u64);
}

/// Writers that share nothing never conflict.
pub async fn sixteen_writers_of_their_own_streams_lose_nothing(store: &impl EventStore) {
    let write = |writer: usize| async move {
        for append in 0..APPENDS {
            committed(store, to(stream(&format!("w-{writer}")), Expected::Exact(append as u64), 1)).await;
        }
    };
    join_all((0..WRITERS).map(write)).await;
    for writer in 0..WRITERS {
        assert_eq!(store.version(&stream(&format!("w-{writer}"))).await.unwrap(), APPENDS as u64);
    }
    let positions: Vec<_> = log(store, 7, &Filter::all()).await.iter().map(|event| event.meta.position).collect();
    assert_eq!(positions, (1..=(WRITERS * APPENDS) as u64).collect::<Vec<_>>());
}

/// Whoever sees a position sees all before it, whole commits only.
pub async fn readers_see_a_growing_prefix_while_others_write(store: &impl EventStore) {
    let write = async {
        for _ in 0..50 {
            let transfer = to(stream("a"), Expected::Any, 1).and(stream("b"), Expected::Any, events(1));
            committed(store, transfer).await;
        }
    };
    let read = async {
        let mut seen = 0;
        while seen < 100 {
            let page = store.read_all(seen, 3, &Filter::all()).await.unwrap();
            for event in &page.events {
                assert_eq!(event.meta.position, seen + 1, "no position is skipped");
                seen += 1;
            }
            assert_eq!(seen % 2, 0, "no half of a commit is seen");
            assert_eq!(page.scanned_to, seen);
            tokio::task::yield_now().await;
        }
    };
    futures_util::future::join(write, read).await;
}
