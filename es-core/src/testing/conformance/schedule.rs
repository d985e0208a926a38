//! Commands to be sent later.

use std::time::Duration;

use futures_util::future::join_all;

use super::{commands::record, *};
use crate::{Metadata, Request, ScheduleKey, ScheduledCommand, Timestamp};

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn key(key: &str) -> ScheduleKey {
    ScheduleKey::new(key).unwrap()
}

fn command(name: &str, due: Timestamp, content: &str) -> ScheduledCommand {
    ScheduledCommand::new(key(name), due, Request::new("bank.v1.Bank", "Remind", content))
}

fn of_tenant(tenant: &str, name: &str, due: Timestamp) -> ScheduledCommand {
    let mut request = Request::new("bank.v1.Bank", "Remind", "");
    request.metadata.tenant = Some(Tenant::new(tenant).unwrap());
    ScheduledCommand::new(key(name), due, request)
}

async fn schedule(store: &impl EventStore, command: &ScheduledCommand) {
    let metadata =
        command.tenant().cloned().map_or_else(Metadata::default, |tenant| Metadata::default().tenant(tenant));
    committed(store, Commit::new(metadata).schedule(command.clone())).await;
}

async fn scheduled(store: &impl EventStore, name: &str) -> Option<ScheduledCommand> {
    store.scheduled(None, name).await.unwrap()
}

/// The keys of what is due.
async fn due(store: &impl EventStore, now: Timestamp, limit: usize) -> Vec<String> {
    let due = store.due(now, limit).await.unwrap();
    due.into_iter().map(|command| command.unwrap().key().to_string()).collect()
}

/// Method, message, metadata, id: nothing is lost or added.
pub async fn a_scheduled_command_comes_back_as_it_was(store: &impl EventStore) {
    assert_eq!(scheduled(store, "k").await, None);
    assert_eq!((due(store, at(i64::from(u32::MAX)), 9).await.len(), store.next_due(at(0)).await.unwrap()), (0, None));
    for name in AWKWARD_IDS {
        let mut request = Request::new("bank.v1.Bank", "Remind", b"\0\xff body".to_vec());
        request.message_type = "bank.v1.RemindCommand".into();
        request.command_id = Some(name.try_into().unwrap());
        request.metadata = Metadata::default().correlation(name).causation("e").principal("alice");
        request.metadata = request.metadata.traceparent("00-1-2-3").entry(name, name);
        let command = ScheduledCommand::new(key(name), at(7), request);
        committed(store, to(stream("a"), Expected::Any, 1).schedule(command.clone())).await;
        assert_eq!(scheduled(store, name).await.as_ref(), Some(&command));
        assert!(store.settle(&command).await.unwrap());
        let unnamed = ScheduledCommand::new(key(name), at(-7), Request::new("bank.v1.Bank", "Remind", ""));
        schedule(store, &unnamed).await;
        assert_eq!(store.due(at(0), 1).await.unwrap().remove(0).unwrap(), unnamed);
        assert!(store.settle(&unnamed).await.unwrap());
    }
}

/// Neither streams nor events are needed.
pub async fn a_commit_may_change_nothing_but_the_schedule(store: &impl EventStore) {
    committed(store, to(stream("a"), Expected::NoStream, 2)).await;
    let stored = committed(store, Commit::default().schedule(command("k", at(7), ""))).await;
    assert_eq!((stored.position, &*stored.versions), (2, &[][..]), "the head");
    assert!(scheduled(store, "k").await.is_some());
    committed(store, Commit::default().cancel(key("k")).cancel(key("nobody's"))).await;
    assert_eq!(scheduled(store, "k").await, None);
    assert_eq!(store.head().await.unwrap(), 2);
}

/// Whoever delivers need not look all the time.
pub async fn the_watch_tells_of_what_was_only_scheduled(store: &impl EventStore) {
    let mut head = store.watch();
    head.borrow_and_update();
    schedule(store, &command("k", at(7), "")).await;
    assert!(head.has_changed().unwrap(), "told once more");
    assert_eq!(*head.borrow_and_update(), 0);
}

/// A command scheduled anew takes the place of the first, also within one commit.
pub async fn the_last_change_to_a_key_counts(store: &impl EventStore) {
    schedule(store, &command("k", at(7), "first")).await;
    schedule(store, &command("k", at(9), "second")).await;
    assert_eq!(scheduled(store, "k").await, Some(command("k", at(9), "second")));
    assert_eq!((due(store, at(8), 9).await.len(), due(store, at(9), 9).await.len()), (0, 1));
    let changes = Commit::default().cancel(key("k")).schedule(command("k", at(5), "third"));
    committed(store, changes.schedule(command("l", at(5), "")).cancel(key("l"))).await;
    assert_eq!(scheduled(store, "k").await, Some(command("k", at(5), "third")));
    assert_eq!(scheduled(store, "l").await, None);
}

/// The earliest come first; of those due at the same time no order is promised.
pub async fn scheduled_commands_are_due_when_their_time_has_come(store: &impl EventStore) {
    for (name, time) in [("c", 30), ("a", 10), ("d", 40), ("b", 20)] {
        schedule(store, &command(name, at(time), "")).await;
    }
    assert_eq!(due(store, at(9), 9).await, [""; 0]);
    assert_eq!(due(store, at(10), 9).await, ["a"]);
    assert_eq!(due(store, at(39), 9).await, ["a", "b", "c"]);
    assert_eq!(due(store, at(39), 2).await, ["a", "b"]);
    assert_eq!(due(store, at(39), 0).await, [""; 0]);
    assert_eq!(store.next_due(at(9)).await.unwrap(), Some(at(10)));
    assert_eq!(store.next_due(at(10)).await.unwrap(), Some(at(20)));
    assert_eq!(store.next_due(at(40)).await.unwrap(), None);
}

/// A key is one of its tenant, and all tenants' commands are delivered.
pub async fn scheduled_commands_of_tenants_do_not_mix(store: &impl EventStore) {
    let all = [command("k", at(1), ""), of_tenant("t1", "k", at(2)), of_tenant("t2", "k", at(3))];
    for command in &all {
        schedule(store, command).await;
    }
    let found: Vec<_> = store.due(at(9), 9).await.unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(found, all);
    let t1 = all[1].tenant().cloned();
    committed(store, Commit::new(Metadata { tenant: t1.clone(), ..Metadata::default() }).cancel(key("k"))).await;
    assert_eq!(store.scheduled(t1.as_ref(), "k").await.unwrap(), None);
    assert_eq!(due(store, at(9), 9).await.len(), 2);
    assert!(!store.settle(&all[1]).await.unwrap() && store.settle(&all[2]).await.unwrap());
    assert_eq!(scheduled(store, "k").await.as_ref(), Some(&all[0]));
}

/// A commit is one tenant's.
pub async fn a_command_scheduled_for_another_tenant_is_refused(store: &impl EventStore) {
    let error = refused(store, to(stream("a"), Expected::Any, 1).schedule(of_tenant("t1", "k", at(1)))).await;
    assert!(matches!(error, Error::InvalidRequest { .. }), "{error}");
    assert_eq!((store.head().await.unwrap(), due(store, at(9), 9).await.len()), (0, 0));
}

/// The schedule is part of the commit.
pub async fn a_refused_commit_leaves_the_schedule_as_it_was(store: &impl EventStore) {
    schedule(store, &command("kept", at(1), "")).await;
    let conflict = to(stream("a"), Expected::Exact(9), 1).schedule(command("new", at(1), "")).cancel(key("kept"));
    refused(store, conflict).await;
    committed(store, Commit::append(stream("b"), Expected::Any, vec![event(1).claim("email", "ada@x")])).await;
    let taken = Commit::append(stream("c"), Expected::Any, vec![event(1).claim("email", "ada@x")]);
    refused(store, taken.schedule(command("new", at(1), "")).cancel(key("kept"))).await;
    assert_eq!(due(store, at(9), 9).await, ["kept"]);
}

/// What was delivered meanwhile does not come back.
pub async fn a_repeated_command_does_not_change_the_schedule_again(store: &impl EventStore) {
    let scheduled = command("k", at(1), "");
    let commit = || to(stream("a"), Expected::Any, 1).command(record("c-1", b"request", "done"));
    committed(store, commit().schedule(scheduled.clone())).await;
    assert!(store.settle(&scheduled).await.unwrap());
    let again = store.append(commit().schedule(scheduled)).await.unwrap();
    assert!(matches!(again, Appended::Replayed(_)));
    assert_eq!(due(store, at(9), 9).await, [""; 0]);
}

/// Whoever leases a command is left alone with it for so long.
pub async fn a_leased_command_is_not_due_until_its_lease_ends(store: &impl EventStore) {
    for (name, time) in [("a", 1), ("b", 2)] {
        schedule(store, &command(name, at(time), "")).await;
    }
    assert!(store.lease(&command("a", at(1), ""), at(5), at(15)).await.unwrap());
    assert_eq!(due(store, at(5), 1).await, ["b"]);
    assert!(!store.lease(&command("a", at(1), ""), at(14), at(24)).await.unwrap());
    assert_eq!(due(store, at(15), 9).await, ["b", "a"]);
    assert!(store.lease(&command("a", at(1), ""), at(15), at(25)).await.unwrap());
    assert!(scheduled(store, "a").await.is_some(), "a leased command is still scheduled");
}

/// A command that nobody answers comes behind those that were not tried yet, and those that waited longer.
pub async fn a_command_that_was_leased_before_is_due_after_the_others(store: &impl EventStore) {
    for (name, time) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        schedule(store, &command(name, at(time), "")).await;
    }
    assert!(store.lease(&command("a", at(1), ""), at(5), at(9)).await.unwrap());
    assert!(store.lease(&command("b", at(2), ""), at(5), at(8)).await.unwrap());
    assert_eq!(due(store, at(9), 9).await, ["c", "d", "b", "a"]);
    assert_eq!(due(store, at(9), 3).await, ["c", "d", "b"]);
}

/// It may be made longer or shorter, and not by one who has lost it.
pub async fn a_lease_is_changed_by_its_holder_only(store: &impl EventStore) {
    let command = command("k", at(1), "");
    schedule(store, &command).await;
    assert!(store.lease(&command, at(1), at(11)).await.unwrap());
    assert!(store.lease(&command, at(11), at(20)).await.unwrap(), "longer");
    assert!(store.lease(&command, at(20), at(3)).await.unwrap(), "shorter");
    assert!(store.lease(&command, at(3), at(13)).await.unwrap(), "taken by another");
    assert!(!store.lease(&command, at(12), at(30)).await.unwrap(), "the first one's has ended");
    assert_eq!(due(store, at(12), 9).await, [""; 0]);
}

/// Taken by sixteen at once, given to one.
pub async fn of_many_who_lease_a_command_one_gets_it(store: &impl EventStore) {
    let command = command("k", at(1), "");
    schedule(store, &command).await;
    let leases = (0..16).map(|_| store.lease(&command, at(1), at(11)));
    let taken = join_all(leases).await.into_iter().filter(|lease| *lease.as_ref().unwrap()).count();
    assert_eq!(taken, 1);
}

/// It would last until the clock gets there again.
pub async fn a_lease_of_a_clock_that_was_set_back_is_none(store: &impl EventStore) {
    let command = command("k", at(1), "");
    schedule(store, &command).await;
    let ahead = at(1).saturating_add(ScheduledCommand::LONGEST_LEASE);
    assert!(store.lease(&command, at(1), ahead.saturating_add(SECOND)).await.unwrap());
    assert_eq!(due(store, at(1), 9).await, ["k"]);
    assert!(store.lease(&command, at(1), ahead).await.unwrap());
    assert_eq!(due(store, at(1), 9).await, [""; 0]);
}

/// A handler may schedule the next one under the key it came by.
pub async fn what_is_settled_is_gone_and_what_was_scheduled_meanwhile_stays(store: &impl EventStore) {
    let first = command("k", at(1), "first");
    schedule(store, &first).await;
    assert!(store.lease(&first, at(1), at(11)).await.unwrap());
    let next = command("k", at(2), "next");
    schedule(store, &next).await;
    assert!(!store.settle(&first).await.unwrap());
    assert!(!store.lease(&first, at(11), at(21)).await.unwrap());
    assert_eq!(due(store, at(2), 9).await, ["k"], "what is scheduled anew is not leased");
    assert!(store.settle(&next).await.unwrap());
    assert!(!store.settle(&next).await.unwrap());
    assert_eq!((scheduled(store, "k").await, store.next_due(at(0)).await.unwrap()), (None, None));
}

/// A command that no service would take is not kept either.
pub async fn an_oversized_scheduled_command_is_refused(store: &impl EventStore) {
    let limits = store.limits().clone();
    let named = |name: &str| Commit::default().schedule(command(name, at(1), ""));
    let with = |request| Commit::default().schedule(ScheduledCommand::new(key("k"), at(1), request));
    let long = "x".repeat(limits.id_bytes + 1);
    let mut talkative = Request::new("bank.v1.Bank", "Remind", "");
    talkative.metadata = Metadata::default().entry("document", "x".repeat(limits.metadata_bytes));
    let too_large = [
        ("schedule key", named(&long)),
        ("schedule key", Commit::default().cancel(key(&long))),
        ("metadata", with(talkative)),
        ("command", with(Request::new("bank.v1.Bank", "Remind", "x".repeat(limits.command_bytes + 1)))),
    ];
    for (named, commit) in too_large {
        let error = refused(store, commit).await;
        assert!(matches!(error, Error::TooLarge { what, .. } if what == named), "{error}");
    }
    committed(store, with(Request::new("bank.v1.Bank", "Remind", "x".repeat(limits.command_bytes)))).await;
}
