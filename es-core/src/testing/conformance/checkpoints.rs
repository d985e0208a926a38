//! Promises about checkpoints.

use std::time::Duration;

use uuid::Uuid;

use crate::{
    CheckpointStore, Error, ManualClock, StoreIdentity, Timestamp,
    checkpoints::{Checkpoint, Claimed, Held, Registration, Sending},
};

/// Makes a test of every promise of [`CheckpointStore`]: `checkpoint_store_conformance!(async |clock| (store, keep));`
///
/// The closure is called anew for each test, in a tokio runtime of several threads, with the
/// [`ManualClock`](crate::ManualClock) the store is to use (in an `Arc`). It gives an empty store, and anything that has
/// to live as long as the test: a temporary folder, or `()`.
#[macro_export]
macro_rules! checkpoint_store_conformance {
    ($store:expr) => {
        $crate::checkpoint_store_conformance! { @each $store;
            a_new_subscriber_starts_where_it_says
            a_registered_subscriber_stays_where_it_is
            a_checkpoint_of_another_store_is_refused
            a_checkpoint_keeps_its_epoch_until_it_moves_in_another
            names_do_not_mix
            a_free_partition_is_claimed_and_others_stay_free
            a_leased_partition_is_taken_over_only_when_the_lease_is_over
            the_lease_on_a_partition_of_a_clock_that_was_set_back_is_none
            an_owner_renews_its_lease_and_keeps_its_generation
            a_checkpoint_moves_from_where_it_is_and_renews_the_lease
            a_former_owner_cannot_move_the_checkpoint
            a_note_stays_until_it_is_replaced
            what_is_released_is_free_at_once
            repartitioning_starts_all_at_one_position
            repartitioning_takes_all_partitions_at_one_position
        }
    };
    (@each $store:expr; $($promise:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            let clock = ::std::sync::Arc::new($crate::ManualClock::at($crate::Timestamp::from_micros(1_000_000_000)));
            let (store, _kept) = ($store)(clock.clone()).await;
            $crate::testing::conformance::$promise(&store, &clock).await;
        }
    )*};
}

const NAME: &str = "search";
const LEASE: Duration = Duration::from_secs(10);
const STORE: StoreIdentity = StoreIdentity { id: Uuid::from_u128(7), epoch: 3 };
const ADA: Uuid = Uuid::from_u128(1);
const BOB: Uuid = Uuid::from_u128(2);

fn registration(name: &str, partitions: u32, start: u64) -> Registration {
    Registration { name: name.into(), partitions, events: vec!["a".into(), "b".into()], store: STORE, start }
}

async fn register(store: &impl CheckpointStore, partitions: u32, start: u64) {
    store.register(registration(NAME, partitions, start)).await.expect("it is registered");
}

async fn checkpoints(store: &impl CheckpointStore) -> Vec<Checkpoint> {
    store.checkpoints(NAME).await.expect("checkpoints can be read")
}

async fn positions(store: &impl CheckpointStore) -> Vec<u64> {
    checkpoints(store).await.iter().map(|checkpoint| checkpoint.position).collect()
}

async fn claim(store: &impl CheckpointStore, partition: u32, owner: Uuid) -> Claimed {
    store.claim(NAME, partition, owner, LEASE).await.expect("a claim is answered")
}

async fn held(store: &impl CheckpointStore, partition: u32, owner: Uuid) -> Held {
    match claim(store, partition, owner).await {
        Claimed::Held(held) => held,
        Claimed::Taken(checkpoint) => panic!("somebody has it: {checkpoint:?}"),
    }
}

async fn advanced(store: &impl CheckpointStore, held: &Held, to: u64) -> Held {
    store.advance(held, to, None).await.expect("the checkpoint moves")
}

#[track_caller]
fn assert_moved<T: std::fmt::Debug>(answer: Result<T, Error>) {
    assert!(matches!(&answer, Err(Error::CheckpointMoved { name, .. }) if name == NAME), "{answer:?}");
}

/// New subscribers.
pub async fn a_new_subscriber_starts_where_it_says(store: &impl CheckpointStore, _: &ManualClock) {
    assert_eq!(checkpoints(store).await, []);
    register(store, 3, 17).await;
    let found = checkpoints(store).await;
    assert_eq!(found.iter().map(|checkpoint| checkpoint.partition).collect::<Vec<_>>(), [0, 1, 2]);
    for checkpoint in found {
        assert_eq!((checkpoint.position, checkpoint.store, checkpoint.owner), (17, STORE, None));
        assert_eq!((checkpoint.leased, checkpoint.sending), (false, None));
    }
}

/// Subscribers that come back.
pub async fn a_registered_subscriber_stays_where_it_is(store: &impl CheckpointStore, _: &ManualClock) {
    register(store, 2, 0).await;
    let held = held(store, 1, ADA).await;
    advanced(store, &held, 5).await;
    register(store, 4, 99).await;
    assert_eq!(positions(store).await, [0, 5]);
    assert_eq!(checkpoints(store).await[1].owner, Some(ADA));
}

/// Checkpoints of another log.
pub async fn a_checkpoint_of_another_store_is_refused(store: &impl CheckpointStore, _: &ManualClock) {
    register(store, 1, 0).await;
    let other = Registration { store: StoreIdentity { id: Uuid::from_u128(8), ..STORE }, ..registration(NAME, 1, 0) };
    let error = store.register(other).await.expect_err("it is another store's");
    assert!(matches!(error, Error::StoreIdentityChanged { .. }), "{error}");
}

/// Restored stores.
pub async fn a_checkpoint_keeps_its_epoch_until_it_moves_in_another(store: &impl CheckpointStore, _: &ManualClock) {
    let restored = StoreIdentity { epoch: 1_763_712_000_000_000, ..STORE };
    let epochs = async || checkpoints(store).await.iter().map(|checkpoint| checkpoint.store.epoch).collect::<Vec<_>>();
    register(store, 2, 4).await;
    let again = Registration { store: restored, ..registration(NAME, 2, 0) };
    store.register(again).await.expect("it is the same store");
    let mut first = held(store, 0, ADA).await;
    assert_eq!((epochs().await, first.at.store), (vec![3, 3], STORE));
    first.at.store = restored;
    let mut moved = vec![advanced(store, &first, 5).await, held(store, 1, ADA).await];
    assert_eq!((epochs().await, moved[0].at.store), (vec![restored.epoch, 3], restored));
    assert_eq!(held(store, 0, ADA).await.at.store, restored, "a claim finds it");
    moved[1].at.store = restored;
    moved[1] = advanced(store, &moved[1], 5).await;
    store.repartition(&moved, 3).await.expect("they are at one position");
    assert_eq!(epochs().await, [restored.epoch; 3]);
}

/// Two subscribers.
pub async fn names_do_not_mix(store: &impl CheckpointStore, _: &ManualClock) {
    register(store, 1, 0).await;
    store.register(registration("other", 1, 3)).await.unwrap();
    let held = held(store, 0, ADA).await;
    advanced(store, &held, 5).await;
    assert_eq!(positions(store).await, [5]);
    assert_eq!(store.checkpoints("other").await.unwrap()[0].position, 3);
}

/// Claims.
pub async fn a_free_partition_is_claimed_and_others_stay_free(store: &impl CheckpointStore, clock: &ManualClock) {
    register(store, 2, 4).await;
    let held = held(store, 1, ADA).await;
    assert_eq!((held.at.partition, held.at.position, held.at.leased), (1, 4, true));
    let until = held.at.leased_until;
    assert_eq!(until.since(Timestamp::from_micros(1_000_000_000)), LEASE);
    let found = checkpoints(store).await;
    assert_eq!((found[0].owner, found[0].leased), (None, false));
    assert_eq!((found[1].owner, found[1].leased, found[1].generation), (Some(ADA), true, held.at.generation));
    clock.advance(LEASE);
    assert!(!checkpoints(store).await[1].leased, "the lease is over");
    assert_moved(store.claim(NAME, 2, ADA, LEASE).await);
}

/// Takeovers.
pub async fn a_leased_partition_is_taken_over_only_when_the_lease_is_over(
    store: &impl CheckpointStore,
    clock: &ManualClock,
) {
    register(store, 1, 4).await;
    let first = held(store, 0, ADA).await;
    let Claimed::Taken(theirs) = claim(store, 0, BOB).await else { panic!("it is leased") };
    assert_eq!((theirs.owner, theirs.position, theirs.generation), (Some(ADA), 4, first.at.generation));
    clock.advance(LEASE);
    let second = held(store, 0, BOB).await;
    assert_eq!((second.at.position, second.at.generation), (4, first.at.generation + 1));
    assert!(matches!(claim(store, 0, ADA).await, Claimed::Taken(_)));
}

/// It would last until the clock gets there again.
pub async fn the_lease_on_a_partition_of_a_clock_that_was_set_back_is_none(
    store: &impl CheckpointStore,
    clock: &ManualClock,
) {
    register(store, 2, 4).await;
    let (first, longest) = (held(store, 0, ADA).await, Checkpoint::LONGEST_LEASE);
    let Claimed::Held(long) = store.claim(NAME, 1, ADA, longest).await.unwrap() else { panic!("it is free") };
    assert!(long.at.leased && matches!(claim(store, 1, BOB).await, Claimed::Taken(_)), "the longest lease is one");
    clock.set(Timestamp::from_micros(1));
    assert!(checkpoints(store).await.iter().all(|checkpoint| !checkpoint.leased), "all would last too long");
    let second = held(store, 0, BOB).await;
    assert_eq!((second.at.position, second.at.generation), (4, first.at.generation + 1));
    assert_moved(store.advance(&first, 5, None).await);
    assert_eq!(held(store, 1, ADA).await.at.leased_until.since(Timestamp::from_micros(1)), LEASE);
}

/// Renewals.
pub async fn an_owner_renews_its_lease_and_keeps_its_generation(store: &impl CheckpointStore, clock: &ManualClock) {
    register(store, 1, 0).await;
    let first = held(store, 0, ADA).await;
    clock.advance(LEASE * 2);
    let again = held(store, 0, ADA).await;
    assert_eq!(again.at.generation, first.at.generation);
    assert_eq!(again.at.leased_until.since(first.at.leased_until), LEASE * 2);
    assert!(matches!(claim(store, 0, BOB).await, Claimed::Taken(_)));
}

/// Moves.
pub async fn a_checkpoint_moves_from_where_it_is_and_renews_the_lease(
    store: &impl CheckpointStore,
    clock: &ManualClock,
) {
    register(store, 2, 0).await;
    let first = held(store, 0, ADA).await;
    clock.advance(LEASE / 2);
    let second = advanced(store, &first, 5).await;
    assert_eq!((second.at.position, second.at.leased_until.since(first.at.leased_until)), (5, LEASE / 2));
    assert_moved(store.advance(&first, 6, None).await);
    advanced(store, &second, 6).await;
    assert_eq!(positions(store).await, [6, 0]);
}

/// Owners that come back late.
pub async fn a_former_owner_cannot_move_the_checkpoint(store: &impl CheckpointStore, clock: &ManualClock) {
    register(store, 1, 0).await;
    let former = held(store, 0, ADA).await;
    clock.advance(LEASE);
    let owner = held(store, 0, BOB).await;
    assert_moved(store.advance(&former, 5, None).await);
    advanced(store, &owner, 1).await;
    assert_eq!(positions(store).await, [1]);
}

/// Notes.
pub async fn a_note_stays_until_it_is_replaced(store: &impl CheckpointStore, clock: &ManualClock) {
    register(store, 1, 0).await;
    let first = held(store, 0, ADA).await;
    let sending = Some(Sending { to: 9, since: Timestamp::from_micros(123_456_789) });
    let noted = store.advance(&first, 0, sending).await.unwrap();
    assert_eq!((noted.at.sending, noted.at.position), (sending, 0));
    clock.advance(LEASE);
    let second = held(store, 0, BOB).await;
    assert_eq!(second.at.sending, sending, "whoever takes over sees it");
    assert_eq!(checkpoints(store).await[0].sending, sending);
    assert_eq!(advanced(store, &second, 9).await.at.sending, None);
    assert_eq!(checkpoints(store).await[0].sending, None);
}

/// Giving back.
pub async fn what_is_released_is_free_at_once(store: &impl CheckpointStore, _: &ManualClock) {
    register(store, 3, 0).await;
    let (first, _) = (held(store, 0, ADA).await, held(store, 1, ADA).await);
    held(store, 2, BOB).await;
    store.release(NAME, ADA).await.unwrap();
    assert_moved(store.advance(&first, 1, None).await);
    held(store, 0, BOB).await;
    held(store, 1, BOB).await;
    assert!(matches!(claim(store, 2, ADA).await, Claimed::Taken(_)), "what others have stays theirs");
}

/// Other partitions in the place of these.
pub async fn repartitioning_starts_all_at_one_position(store: &impl CheckpointStore, _: &ManualClock) {
    register(store, 2, 3).await;
    let sending = |to, since| Some(Sending { to, since: Timestamp::from_micros(since) });
    let mut all = vec![held(store, 0, ADA).await, held(store, 1, ADA).await];
    all[0] = store.advance(&all[0], 3, sending(5, 40)).await.unwrap();
    all[1] = store.advance(&all[1], 3, sending(9, 50)).await.unwrap();
    store.repartition(&all, 3).await.unwrap();
    let found = checkpoints(store).await;
    assert_eq!(found.iter().map(|checkpoint| checkpoint.partition).collect::<Vec<_>>(), [0, 1, 2]);
    for checkpoint in found {
        assert_eq!((checkpoint.position, checkpoint.store, checkpoint.owner), (3, STORE, None));
        assert_eq!(checkpoint.sending, sending(9, 40), "the oldest note stays");
    }
    assert_moved(store.advance(&all[0], 4, None).await);
    held(store, 2, BOB).await;
}

/// What can't be replaced.
pub async fn repartitioning_takes_all_partitions_at_one_position(store: &impl CheckpointStore, clock: &ManualClock) {
    register(store, 2, 0).await;
    let (first, second) = (held(store, 0, ADA).await, held(store, 1, ADA).await);
    assert_moved(store.repartition(std::slice::from_ref(&first), 1).await);
    let moved = advanced(store, &first, 4).await;
    let error = store.repartition(&[moved.clone(), second.clone()], 1).await.expect_err("they are apart");
    assert!(matches!(error, Error::InvalidRequest { .. }), "{error}");
    let second = advanced(store, &second, 4).await;
    clock.advance(LEASE);
    held(store, 1, BOB).await;
    assert_moved(store.repartition(&[moved, second], 1).await);
    assert_eq!(positions(store).await, [4, 4]);
}
