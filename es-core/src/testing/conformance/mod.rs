//! The promises of [`EventStore`] and [`CheckpointStore`](crate::CheckpointStore), as tests that any store can run.
//!
//! [`event_store_conformance!`](crate::event_store_conformance) makes a `#[tokio::test]` of each; every one gets an
//! empty store of its own.

mod appends;
mod checkpoints;
mod claims;
mod commands;
mod concurrency;
mod limits;
mod reads;
mod schedule;
mod snapshots;

use std::ops::ControlFlow;

pub use appends::*;
pub use checkpoints::*;
pub use claims::*;
pub use commands::*;
pub use concurrency::*;
pub use limits::*;
pub use reads::*;
pub use schedule::*;
pub use snapshots::*;

use crate::{
    AggregateId, Appended, Commit, Committed, Error, EventStore, Expected, Filter, NewEvent, RecordedEvent, StreamKey,
    Tenant,
};

/// Ids that a store must carry faithfully: quotes, dots, stars, four-byte characters.
pub const AWKWARD_IDS: [&str; 8] = ["o'brien", "\"q\"", "a.b.c", "*.>", "%_\\", "🏦🏦", "';DROP", "-1"];

/// Makes a test of every promise: `event_store_conformance!(async { (store, keep) });`
///
/// The future is made anew for each test, in a tokio runtime of several threads. It gives an empty store, and anything
/// that has to live as long as the test: a temporary folder, or `()`.
#[macro_export]
macro_rules! event_store_conformance {
    ($store:expr) => {
        $crate::event_store_conformance! { @each $store;
            a_new_store_is_empty
            versions_are_dense_from_one_in_each_stream
            positions_are_dense_and_in_commit_order
            exact_admits_only_that_version
            no_stream_admits_only_what_does_not_exist
            stream_exists_admits_only_what_exists
            any_admits_everything
            a_version_check_without_events_is_made_and_writes_nothing
            one_stream_twice_in_a_commit_is_refused
            a_stream_of_another_tenant_is_refused
            a_commit_over_streams_is_stored_whole
            a_commit_over_streams_with_one_conflict_is_not_stored_at_all
            recorded_times_never_go_back
            tenants_do_not_see_each_other
            stream_types_do_not_mix
            awkward_ids_are_carried_faithfully
            payloads_and_metadata_come_back_as_they_were
            folding_starts_after_the_given_version
            folding_stops_when_the_visitor_breaks
            an_error_of_the_visitor_ends_the_fold
            a_panic_of_the_visitor_leaves_the_store_usable
            pages_cover_the_log_without_gap_or_repetition
            a_page_never_shows_half_a_commit
            reading_after_the_end_gives_an_empty_page
            filters_choose_by_tenant_stream_type_and_event_type
            a_filter_can_want_what_a_stream_type_does_not_know
            the_partitions_of_a_log_are_the_whole_log
            a_filtered_page_moves_on_over_what_it_leaves_out
            the_watch_tells_the_head
            of_two_creators_one_wins
            sixteen_writers_of_one_stream_lose_nothing
            sixteen_writers_of_their_own_streams_lose_nothing
            readers_see_a_growing_prefix_while_others_write
            a_claim_is_exclusive
            a_claim_of_ones_own_key_again_is_no_conflict
            a_released_key_can_be_claimed_by_another
            releasing_what_one_does_not_hold_changes_nothing
            two_streams_swap_keys_in_one_commit
            two_claimants_in_one_commit_conflict
            a_refused_claim_stores_nothing
            claims_are_recorded_with_their_event
            an_empty_key_is_refused
            claims_of_tenants_and_constraints_do_not_mix
            a_repeated_command_is_answered_from_the_record
            a_rejected_command_is_answered_from_the_record
            a_command_without_events_is_recorded
            a_repeated_command_is_answered_before_versions_are_checked
            a_command_id_with_another_payload_is_refused
            command_ids_of_tenants_do_not_mix
            a_command_whose_commit_fails_is_not_recorded
            of_many_sendings_of_one_command_one_is_carried_out
            an_oversized_event_is_refused
            an_oversized_id_is_refused
            too_many_events_are_refused
            oversized_metadata_is_refused
            a_snapshot_comes_back
            a_snapshot_of_another_fingerprint_is_not_found
            an_older_snapshot_does_not_replace_a_newer_one
            a_snapshot_ahead_of_its_stream_is_never_given
            a_scheduled_command_comes_back_as_it_was
            a_commit_may_change_nothing_but_the_schedule
            the_watch_tells_of_what_was_only_scheduled
            the_last_change_to_a_key_counts
            scheduled_commands_are_due_when_their_time_has_come
            scheduled_commands_of_tenants_do_not_mix
            a_command_scheduled_for_another_tenant_is_refused
            a_refused_commit_leaves_the_schedule_as_it_was
            a_repeated_command_does_not_change_the_schedule_again
            a_leased_command_is_not_due_until_its_lease_ends
            a_command_that_was_leased_before_is_due_after_the_others
            a_lease_is_changed_by_its_holder_only
            of_many_who_lease_a_command_one_gets_it
            a_lease_of_a_clock_that_was_set_back_is_none
            what_is_settled_is_gone_and_what_was_scheduled_meanwhile_stays
            an_oversized_scheduled_command_is_refused
        }
    };
    (@each $store:expr; $($promise:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            let (store, _kept) = $store.await;
            $crate::testing::conformance::$promise(&store).await;
        }
    )*};
}

const TYPE: &str = "conformance.v1.Account";
const EVENT: &str = "conformance.v1.Happened";

fn stream(id: &str) -> StreamKey {
    StreamKey::new(None, TYPE, AggregateId::new(id).unwrap())
}

fn tenant_stream(tenant: &str, id: &str) -> StreamKey {
    StreamKey::new(Some(Tenant::new(tenant).unwrap()), TYPE, AggregateId::new(id).unwrap())
}

fn event(content: impl ToString) -> NewEvent {
    NewEvent::raw(EVENT, content.to_string())
}

fn events(count: usize) -> Vec<NewEvent> {
    (1..=count).map(event).collect()
}

fn to(stream: StreamKey, expected: Expected, count: usize) -> Commit {
    Commit::append(stream, expected, events(count))
}

async fn committed(store: &impl EventStore, commit: Commit) -> Committed {
    match store.append(commit).await.expect("the commit is stored") {
        Appended::Committed(committed) => committed,
        Appended::Replayed(outcome) => panic!("answered from the record: {outcome:?}"),
    }
}

async fn refused(store: &impl EventStore, commit: Commit) -> Error {
    store.append(commit).await.expect_err("the commit is refused")
}

#[track_caller]
fn assert_conflict(error: &Error, on: &StreamKey, found: u64) {
    assert!(
        matches!(error, Error::Conflict { stream, actual, .. } if stream == on && *actual == found),
        "a conflict on {on} at version {found} was expected, not: {error}"
    );
}

/// The contents of a stream, read by folding it.
async fn contents(store: &impl EventStore, stream: &StreamKey) -> Vec<String> {
    let mut contents = Vec::new();
    let mut visit = |event: crate::RecordedRef<'_>| {
        assert_eq!(event.version, contents.len() as u64 + 1, "versions are dense from 1");
        contents.push(String::from_utf8(event.event.payload.to_vec()).unwrap());
        Ok(ControlFlow::Continue(()))
    };
    store.fold(stream, 0, &mut visit).await.expect("the stream can be read");
    contents
}

/// The whole log, read in pages.
async fn log(store: &impl EventStore, page: usize, filter: &Filter) -> Vec<RecordedEvent> {
    let (mut log, mut after) = (Vec::new(), 0);
    let head = store.head().await.unwrap();
    while after < head {
        let page = store.read_all(after, page, filter).await.expect("the log can be read");
        assert!(page.scanned_to > after, "a page moves on");
        after = page.scanned_to;
        log.extend(page.events);
    }
    log
}
