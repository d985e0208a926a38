//! Projections whose read model is elsewhere.

mod domain;

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use domain::{Account, Deposited, Opened, deposited, opened};
use es_core::{
    CheckpointStore, Error, EventStore, HookBuilder, Limits, ManualClock, MemoryStore, Projection, ProjectionBuilder,
    Repository, Runner, StreamKey, Subscriber, Tenant, Timestamp,
};
use tokio::sync::Semaphore;

/// The cents that were seen, by aggregate.
type Seen = Arc<Mutex<BTreeMap<String, Vec<i64>>>>;

const LEASE: Duration = Duration::from_secs(10);

async fn deposit(store: &MemoryStore, id: &str, cents: i64) -> u64 {
    let accounts = Repository::<Account>::new(store.clone());
    let deposit = |account: &mut es_core::Root<Account>| {
        account.emit(deposited(cents));
        Ok(())
    };
    accounts.execute(id, deposit).await.unwrap().receipt().position
}

/// Deposits 1, 2, 3 .. into `a`.
async fn deposits(store: &MemoryStore, count: i64) {
    for cents in 1..=count {
        deposit(store, "a", cents).await;
    }
}

/// A projection that writes down what it sees.
fn noting(name: &str, seen: &Seen) -> ProjectionBuilder<es_core::projection::State<Seen>> {
    Projection::builder(name).with(seen.clone()).on::<Deposited, _>(async |seen, event, meta| {
        seen.lock().unwrap().entry(meta.stream.id.to_string()).or_default().push(event.cents);
        Ok(())
    })
}

fn seen_of(seen: &Seen, id: &str) -> Vec<i64> {
    seen.lock().unwrap().get(id).cloned().unwrap_or_default()
}

/// Polls a future once: whether it waits for something.
async fn waits<F: Future>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// Advances each partition until all have caught up.
async fn catch_up(projection: &Projection, store: &MemoryStore) {
    let mut behind = true;
    while behind {
        behind = false;
        for partition in 0..projection.partitions() {
            behind |= !projection.advance(store, partition).await.unwrap().caught_up;
        }
    }
}

async fn positions(store: &MemoryStore, name: &str) -> Vec<u64> {
    store.checkpoints(name).await.unwrap().iter().map(|checkpoint| checkpoint.position).collect()
}

fn clocked() -> (MemoryStore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_000_000)));
    (MemoryStore::with(Limits::default(), clock.clone()), clock)
}

#[tokio::test]
async fn hooks_own_their_event_and_get_a_clone_of_the_state() {
    let (store, seen, opens) = (MemoryStore::new(), Seen::default(), Arc::new(AtomicU64::default()));
    let open = opens.clone();
    let captured = Projection::builder("captured").on::<Opened, _>(async move |event, meta| {
        assert_eq!((&*event.owner, meta.version), ("ada", 1));
        open.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let captured = captured.build(&store).await.unwrap();
    let running = Runner::new(store.clone())
        .run(captured)
        .run(noting("noting", &seen).build(&store).await.unwrap())
        .start()
        .unwrap();
    let accounts = Repository::<Account>::new(store.clone());
    let open = |account: &mut es_core::Root<Account>| {
        account.emit(opened("ada"));
        account.emit(deposited(5));
        Ok(())
    };
    let reply = accounts.execute("a", open).await.unwrap();
    running.wait_for_all(reply.receipt()).await.unwrap();
    assert_eq!((seen_of(&seen, "a"), opens.load(Ordering::SeqCst)), (vec![5], 1));
    running.shutdown().await;
}

#[tokio::test]
async fn twenty_aggregates_over_four_partitions_are_each_seen_once_and_in_order() {
    let (store, seen) = (MemoryStore::new(), Seen::default());
    for cents in 0..400 {
        deposit(&store, &format!("acc-{}", cents % 20), cents).await;
    }
    let running = Runner::new(store.clone())
        .run(noting("noting", &seen).partitions(4).build(&store).await.unwrap())
        .start()
        .unwrap();
    let last = deposit(&store, "acc-0", 400).await;
    running.wait_for_position("noting", last, LEASE).await.unwrap();
    assert_eq!(positions(&store, "noting").await, [401; 4]);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 20);
    for (id, cents) in &*seen {
        let number: i64 = id.trim_start_matches("acc-").parse().unwrap();
        let expected: Vec<_> = (0..=400).filter(|cents| cents % 20 == number).collect();
        assert_eq!(*cents, expected, "{id}");
    }
}

#[tokio::test]
async fn another_number_of_partitions_loses_and_repeats_nothing() {
    let (store, seen) = (MemoryStore::new(), Seen::default());
    let mut cents = 0;
    for partitions in [1, 4, 2, 3] {
        let projection = noting("noting", &seen).partitions(partitions).build(&store).await.unwrap();
        catch_up(&projection, &store).await;
        assert_eq!(positions(&store, "noting").await.len(), partitions as usize);
        for _ in 0..300 {
            deposit(&store, &format!("acc-{}", cents % 20), cents).await;
            cents += 1;
        }
        // Only the last partition goes on before the number changes: they are at different positions then.
        projection.advance(&store, partitions - 1).await.unwrap();
        let found = positions(&store, "noting").await;
        assert!(partitions == 1 || found.iter().min() < found.iter().max(), "{found:?}");
        projection.give_back().await;
    }
    catch_up(&noting("noting", &seen).build(&store).await.unwrap(), &store).await;
    let seen = seen.lock().unwrap();
    for (id, cents) in &*seen {
        let number: i64 = id.trim_start_matches("acc-").parse().unwrap();
        assert_eq!(*cents, (0..1200).filter(|cents| cents % 20 == number).collect::<Vec<_>>(), "{id}");
    }
    assert_eq!(seen.len(), 20);
}

#[tokio::test]
async fn partitions_are_not_changed_while_someone_else_has_one() {
    let ((store, clock), seen) = (clocked(), Seen::default());
    deposits(&store, 3).await;
    let old = noting("noting", &seen).partitions(2).build(&store).await.unwrap();
    catch_up(&old, &store).await;
    let new = noting("noting", &seen).build(&store).await.unwrap();
    assert!(new.advance(&store, 0).await.unwrap().standby);
    clock.advance(LEASE);
    catch_up(&new, &store).await;
    deposits(&store, 1).await;
    catch_up(&new, &store).await;
    assert_eq!(seen_of(&seen, "a"), [1, 2, 3, 1]);
}

#[tokio::test]
async fn a_batch_failing_at_the_11th_of_20_events_resumes_at_the_11th() {
    let (store, seen, broken) = (MemoryStore::new(), Seen::default(), Arc::new(AtomicU32::new(1)));
    deposits(&store, 20).await;
    let (sees, breaks) = (seen.clone(), broken.clone());
    let projection = Projection::builder("noting")
        .retries(0)
        .on::<Deposited, _>(async move |event, _| {
            if event.cents == 11 && breaks.load(Ordering::SeqCst) == 1 {
                return Err("the index is down".into());
            }
            sees.lock().unwrap().entry("a".into()).or_default().push(event.cents);
            Ok(())
        })
        .build(&store)
        .await
        .unwrap();
    let running = Runner::new(store.clone()).run(projection).start().unwrap();
    let error = running.wait_for_position("noting", 20, LEASE).await.unwrap_err();
    assert!(matches!(&error, Error::ProjectionFaulted { position: 11, .. }), "{error}");
    assert_eq!((running.status("noting").unwrap().checkpoint, positions(&store, "noting").await), (10, vec![10]));
    broken.store(0, Ordering::SeqCst);
    running.resume("noting").unwrap();
    running.wait_for_position("noting", 20, LEASE).await.unwrap();
    assert_eq!(seen_of(&seen, "a"), (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_hook_that_fails_is_tried_again_a_few_times() {
    let (store, tries) = (MemoryStore::new(), Arc::new(AtomicU32::default()));
    deposits(&store, 1).await;
    let counting = tries.clone();
    let failing = |until: u32| {
        let tries = counting.clone();
        Projection::builder(format!("until {until}")).retries(2).on::<Deposited, _>(async move |_, _| {
            if tries.fetch_add(1, Ordering::SeqCst) < until { Err("not yet".into()) } else { Ok(()) }
        })
    };
    let running = Runner::new(store.clone()).run(failing(2).build(&store).await.unwrap()).start().unwrap();
    running.wait_for_position("until 2", 1, LEASE).await.unwrap();
    assert_eq!(tries.swap(0, Ordering::SeqCst), 3);
    let running = Runner::new(store.clone()).run(failing(3).build(&store).await.unwrap()).start().unwrap();
    let error = running.wait_for_position("until 3", 1, LEASE).await.unwrap_err();
    assert_eq!(error.to_string(), "`until 3` stopped at position 1");
    assert_eq!(tries.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn the_pause_before_a_hook_is_tried_again_doubles() {
    let store = MemoryStore::new();
    deposits(&store, 1).await;
    let failing = Projection::builder("failing").on::<Deposited, _>(async |_, _| Err("not yet".into()));
    let failing = failing.build(&store).await.unwrap();
    for millis in [10, 20, 40] {
        let pause = failing.advance(&store, 0).await.unwrap().again_after;
        assert_eq!(pause, Some(Duration::from_millis(millis)));
    }
    assert!(matches!(failing.advance(&store, 0).await, Err(Error::ProjectionFaulted { position: 1, .. })));
}

#[tokio::test]
async fn a_hook_that_panics_stops_the_projection_with_its_event() {
    let store = MemoryStore::new();
    deposits(&store, 1).await;
    let panics = Projection::builder("panics").retries(0).on::<Deposited, _>(async |event, _| {
        assert!(event.cents > 1, "a hook that panics, on purpose");
        Ok(())
    });
    let error = panics.build(&store).await.unwrap().advance(&store, 0).await.unwrap_err();
    let expected = "`panics` stopped at position 1\n  caused by: a hook for test.v1.Deposited panicked";
    assert_eq!(format!("{error:?}"), expected);
}

#[tokio::test]
async fn a_program_that_dies_amid_a_page_handles_it_again() {
    let (store, seen) = (MemoryStore::new(), Seen::default());
    deposits(&store, 3).await;
    let (sees, gate) = (seen.clone(), Arc::new(Semaphore::new(2)));
    let waiting = Projection::builder("noting").on::<Deposited, _>(async move |event, _| {
        gate.acquire().await?.forget();
        sees.lock().unwrap().entry("a".into()).or_default().push(event.cents);
        Ok(())
    });
    let waiting = waiting.build(&store).await.unwrap();
    {
        let mut page = pin!(waiting.advance(&store, 0));
        assert!(waits(page.as_mut()).await, "it waits in its third event");
    }
    waiting.give_back().await;
    catch_up(&noting("noting", &seen).build(&store).await.unwrap(), &store).await;
    assert_eq!(seen_of(&seen, "a"), [1, 2, 1, 2, 3]);
}

#[tokio::test]
async fn a_second_owner_takes_over_when_the_lease_is_over_and_the_first_stands_by() {
    let ((store, clock), seen) = (clocked(), Seen::default());
    deposits(&store, 2).await;
    let gate = Arc::new(Semaphore::new(0));
    let (stuck, sees) = (gate.clone(), seen.clone());
    let first = Projection::builder("noting").on::<Deposited, _>(async move |event, _| {
        stuck.acquire().await?.forget();
        sees.lock().unwrap().entry("first".into()).or_default().push(event.cents);
        Ok(())
    });
    let first = first.build(&store).await.unwrap();
    let second = noting("noting", &seen).build(&store).await.unwrap();

    let mut page = pin!(first.advance(&store, 0));
    assert!(waits(page.as_mut()).await);
    let theirs = second.advance(&store, 0).await.unwrap();
    assert!(theirs.standby && theirs.checkpoint == 0, "{theirs:?}");
    clock.advance(LEASE);
    let takes = second.advance(&store, 0).await.unwrap();
    assert!(takes.caught_up && takes.handled == 2, "{takes:?}");

    gate.add_permits(2);
    let error = page.await.unwrap_err();
    assert_eq!(error.to_string(), "`noting` is also run elsewhere: its checkpoint is no longer 0");
    assert_eq!(seen_of(&seen, "first"), [1], "what comes after the event it was at, it leaves to the other");
    assert!(first.advance(&store, 0).await.unwrap().standby);
    assert_eq!(seen_of(&seen, "a"), [1, 2]);
}

#[tokio::test]
async fn after_a_rest_only_one_of_two_owners_handles_what_comes() {
    for first_wakes_first in [true, false] {
        let ((store, clock), seen) = (clocked(), Seen::default());
        let first = noting("noting", &seen).build(&store).await.unwrap();
        let second = noting("noting", &seen).build(&store).await.unwrap();
        deposits(&store, 1).await;
        assert!(first.advance(&store, 0).await.unwrap().caught_up);
        clock.advance(LEASE * 2);
        assert!(second.advance(&store, 0).await.unwrap().caught_up, "there is nothing to take over for");
        deposits(&store, 1).await;
        let [one, other] = if first_wakes_first { [&first, &second] } else { [&second, &first] };
        assert_eq!(one.advance(&store, 0).await.unwrap().handled, 1);
        assert!(other.advance(&store, 0).await.unwrap().standby);
        assert_eq!(seen_of(&seen, "a"), [1, 1]);
    }
}

#[tokio::test]
async fn a_runner_that_stops_gives_its_place_to_the_one_that_stands_by() {
    for is_dropped in [false, true] {
        let (store, seen) = (MemoryStore::new(), Seen::default());
        let run = async || {
            let projection = noting("noting", &seen).partitions(2).build(&store).await.unwrap();
            Runner::new(store.clone()).run(projection).start().unwrap()
        };
        let first = run().await;
        let at = deposit(&store, "a", 1).await;
        first.wait_for_position("noting", at, LEASE).await.unwrap();
        let second = run().await;
        for cents in 2..5 {
            let at = deposit(&store, "a", cents).await;
            second.wait_for_position("noting", at, LEASE).await.unwrap();
        }
        if is_dropped {
            drop(first);
        } else {
            first.shutdown().await;
        }
        let at = deposit(&store, "a", 5).await;
        second.wait_for_position("noting", at, Duration::from_secs(5)).await.unwrap();
        assert_eq!(seen_of(&seen, "a"), [1, 2, 3, 4, 5]);
    }
}

#[tokio::test]
async fn a_long_page_keeps_its_lease() {
    let ((store, clock), seen) = (clocked(), Seen::default());
    deposits(&store, 3).await;
    let (sees, ticks) = (seen.clone(), clock.clone());
    let slow = Projection::builder("noting").on::<Deposited, _>(async move |event, _| {
        ticks.advance(LEASE * 7 / 10);
        sees.lock().unwrap().entry("a".into()).or_default().push(event.cents);
        Ok(())
    });
    let slow = slow.build(&store).await.unwrap();
    assert!(slow.advance(&store, 0).await.unwrap().caught_up);
    assert_eq!((seen_of(&seen, "a"), positions(&store, "noting").await), (vec![1, 2, 3], vec![3]));
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_takes_longer_than_the_lease_keeps_it() {
    let ((store, clock), seen) = (clocked(), Seen::default());
    deposits(&store, 2).await;
    let (gate, sees) = (Arc::new(Semaphore::new(0)), seen.clone());
    let open = gate.clone();
    let slow = Projection::builder("noting").on::<Deposited, _>(async move |event, _| {
        gate.acquire().await?.forget();
        sees.lock().unwrap().entry("a".into()).or_default().push(event.cents);
        Ok(())
    });
    let slow = slow.build(&store).await.unwrap();
    let other = noting("noting", &seen).build(&store).await.unwrap();
    let meanwhile = async {
        for _ in 0..10 {
            clock.advance(LEASE / 2);
            tokio::time::sleep(LEASE / 2).await;
            assert!(other.advance(&store, 0).await.unwrap().standby);
        }
        open.add_permits(2);
    };
    let (progress, ()) = futures_util::future::join(slow.advance(&store, 0), meanwhile).await;
    assert_eq!((progress.unwrap().handled, seen_of(&seen, "a")), (2, vec![1, 2]));
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_after_its_lease_was_lost_stops_nothing() {
    let ((store, clock), seen) = (clocked(), Seen::default());
    deposits(&store, 1).await;
    let slow = Projection::builder("noting").retries(0).on::<Deposited, _>(async |_, _| {
        tokio::time::sleep(LEASE).await;
        Err("the index is down".into())
    });
    let slow = slow.build(&store).await.unwrap();
    let other = noting("noting", &seen).build(&store).await.unwrap();
    let mut page = pin!(slow.advance(&store, 0));
    assert!(waits(page.as_mut()).await);
    clock.advance(LEASE);
    assert!(other.advance(&store, 0).await.unwrap().caught_up);
    let error = page.await.unwrap_err();
    assert!(matches!(error, Error::CheckpointMoved { expected: 0, .. }), "{error}");
}

#[tokio::test]
async fn only_events_of_its_tenant_reach_a_projection() {
    let (store, seen) = (MemoryStore::new(), Seen::default());
    let tenant = |name: &str| Tenant::new(name).unwrap();
    for (owner, cents) in [(Some("t1"), 1), (Some("t2"), 2), (None, 3), (Some("t1"), 4)] {
        let stream = StreamKey::new(owner.map(tenant), "test.v1.Account", "a".try_into().unwrap());
        let event = es_core::NewEvent::encode(&domain::AccountEvent::from(deposited(cents))).unwrap();
        store.append(es_core::Commit::append(stream, es_core::Expected::Any, vec![event])).await.unwrap();
    }
    let projection = noting("noting", &seen).tenant(tenant("t1")).build(&store).await.unwrap();
    catch_up(&projection, &store).await;
    assert_eq!((seen_of(&seen, "a"), positions(&store, "noting").await), (vec![1, 4], vec![4]));
}

#[tokio::test]
async fn what_cannot_be_built_says_why() {
    let (store, seen) = (MemoryStore::new(), Seen::default());
    let none = Projection::builder("empty").build(&store).await.unwrap_err();
    assert_eq!(none.to_string(), "invalid request: `empty` has no hooks; add one for each event it is for");
    let nowhere = noting("none", &seen).partitions(0).build(&store).await.unwrap_err();
    assert_eq!(nowhere.to_string(), "invalid request: `none` can't have 0 partitions; give it 1 to 1024");
    let nobody = noting("", &seen).build(&store).await.unwrap_err();
    assert_eq!(nobody.to_string(), "invalid subscriber name: it is empty");
    let projection = noting("noting", &seen).build(&store).await.unwrap();
    let outside = projection.advance(&store, 1).await.unwrap_err();
    assert_eq!(outside.to_string(), "invalid request: `noting` has 1 partitions, none is 1");
    let elsewhere = projection.advance(&MemoryStore::new(), 0).await.unwrap_err();
    assert!(matches!(elsewhere, Error::StoreIdentityChanged { .. }), "{elsewhere}");
}
