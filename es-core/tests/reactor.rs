//! Reactors: commands sent in consequence of events.

mod bank;

use std::{
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use bank::{
    Account, AccountHooks, AccountRepository, AccountServiceClient, AccountServiceServer, Accounts, Opened,
    QueryServiceClient, QueryServiceServer, command, open,
};
use es_core::{
    AppError, CheckpointStore, Error, EventLog, Hook, Limits, LocalBus, ManualClock, MemoryStore, Metadata, Reactor,
    ReactorBuilder, Repository, Request, Response, Result, Runner, StartFrom, Subscriber, Tenant, Timestamp, Transport,
    store::BoxFuture,
};

const LEASE: Duration = Duration::from_secs(10);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What the network does to the next call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// It carries it, and its answer.
    None,
    /// It does not carry it.
    Unreachable,
    /// It carries it and loses the answer.
    AnswerLost,
    /// It carries it, and the program dies while it waits for the answer.
    Dies,
}

/// A bank behind a network that notes every request and does what a test says.
#[derive(Clone, Debug)]
struct Network {
    bus: LocalBus,
    sent: Arc<Mutex<Vec<Request>>>,
    faults: Arc<Mutex<Vec<Fault>>>,
}

impl Network {
    /// Does this to the next calls, the last one first.
    fn faults(&self, faults: &[Fault]) {
        *self.faults.lock().unwrap() = faults.to_vec();
    }

    fn sent(&self) -> Vec<Request> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }

    fn ids(&self) -> Vec<String> {
        self.sent().iter().map(|request| request.command_id.as_ref().unwrap().to_string()).collect()
    }
}

impl Transport for Network {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response>> {
        Box::pin(async move {
            self.sent.lock().unwrap().push(request.clone());
            let fault = self.faults.lock().unwrap().pop().unwrap_or(Fault::None);
            if fault == Fault::Unreachable {
                return Err(Error::Unavailable { why: "the cable is out".into() });
            }
            let answer = self.bus.transport().call(request).await;
            match fault {
                Fault::AnswerLost => Err(Error::Timeout { after: Duration::from_secs(1) }),
                Fault::Dies => pending().await,
                _ => answer,
            }
        })
    }
}

/// A bank, its clock, and the network to it. It refuses to change a balance by 13.
fn bank() -> (MemoryStore, Arc<ManualClock>, Network) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_000_000)));
    let store = MemoryStore::with(Limits::default(), clock.clone());
    let accounts = Accounts::deciding(|account, command, _| {
        Box::pin(async move {
            es_core::ensure!(command.cents != 13, AppError::out_of_range("UNLUCKY", "not 13"));
            account.emit(bank::Changed { cents: command.cents });
            Ok(bank::answer(account))
        })
    });
    let bus = LocalBus::new()
        .serve(AccountServiceServer::new(accounts.clone(), AccountRepository::new(store.clone())))
        .serve(QueryServiceServer::new(accounts));
    (store, clock, Network { bus, sent: Arc::default(), faults: Arc::default() })
}

async fn opens(network: &Network, owner: &str) -> u64 {
    AccountServiceClient::new(network.bus.transport()).open(open(owner)).await.unwrap().receipt().position
}

/// Gives each owner of a new account a bonus, on an account of that name.
fn bonus(network: &Network, start: StartFrom) -> ReactorBuilder {
    Reactor::builder("bonus", network.clone(), start).on_opened(async |commands, event, _| {
        AccountServiceClient::new(commands).decide(command(&event.owner, 100)).await?;
        Ok(())
    })
}

async fn balance(store: &MemoryStore, id: &str) -> i64 {
    Repository::<Account>::new(store.clone()).load(id).await.map_or(0, |account| account.cents)
}

async fn catch_up(reactor: &Reactor, store: &MemoryStore) -> Result<u64> {
    loop {
        let mut lowest = u64::MAX;
        let mut caught_up = true;
        for partition in 0..reactor.partitions() {
            let progress = reactor.advance(store, partition).await?;
            caught_up &= progress.caught_up;
            lowest = lowest.min(progress.checkpoint);
        }
        if caught_up {
            return Ok(lowest);
        }
    }
}

/// Polls a future once: whether it waits for something.
async fn waits<F: Future>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[tokio::test]
async fn a_crash_between_effect_and_checkpoint_repeats_the_commands_under_the_same_ids_and_changes_nothing() {
    let (store, clock, network) = bank();
    opens(&network, "ada").await;
    opens(&network, "bob").await;
    let killed = bonus(&network, StartFrom::Beginning).build(&store).await.unwrap();
    network.faults(&[Fault::Dies, Fault::None]);
    {
        let mut page = pin!(killed.advance(&store, 0));
        assert!(waits(page.as_mut()).await, "both commands are carried out, the second answer is awaited");
    }
    let first = network.ids();
    assert_eq!((first.len(), balance(&store, "ada").await, balance(&store, "bob").await), (2, 100, 100));
    assert_eq!(store.checkpoints("bonus").await.unwrap()[0].position, 0);

    clock.advance(LEASE);
    let next = bonus(&network, StartFrom::Beginning).build(&store).await.unwrap();
    catch_up(&next, &store).await.unwrap();
    assert_eq!(network.ids(), first);
    assert_eq!((balance(&store, "ada").await, balance(&store, "bob").await), (100, 100));
    let checkpoint = store.checkpoints("bonus").await.unwrap().remove(0);
    assert_eq!((checkpoint.position, checkpoint.sending), (4, None));
}

#[tokio::test]
async fn a_command_is_sent_again_under_the_same_id_until_it_is_answered() {
    let (store, _, network) = bank();
    network.faults(&[Fault::AnswerLost, Fault::Unreachable]);
    let reactor = bonus(&network, StartFrom::Beginning).build(&store).await.unwrap();
    let running = Runner::new(store.clone()).run(reactor).start().unwrap();
    let at = opens(&network, "ada").await;
    running.wait_for_position("bonus", at, LEASE).await.unwrap();
    let ids = network.ids();
    assert!(ids.len() == 3 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(balance(&store, "ada").await, 100);
    running.shutdown().await;
}

#[tokio::test]
async fn a_failure_of_the_network_that_a_hook_wraps_is_one_too() {
    let (store, _, network) = bank();
    network.faults(&[Fault::Unreachable]);
    opens(&network, "ada").await;
    let wrapping = Reactor::builder("bonus", network.clone(), StartFrom::Beginning).retries(0);
    let wrapping = wrapping.on_opened(async |commands, event, _| {
        let sent = AccountServiceClient::new(commands).decide(command(&event.owner, 100)).await;
        sent.map_err(|error| std::io::Error::other(Wrapped(error)))?;
        Ok(())
    });
    let reactor = wrapping.build(&store).await.unwrap();
    let error = reactor.advance(&store, 0).await.unwrap_err();
    assert_eq!(error.to_string(), "unavailable: a hook of `bonus` at position 1: no bonus");
    catch_up(&reactor, &store).await.unwrap();
    assert_eq!(balance(&store, "ada").await, 100);
}

#[derive(Debug, thiserror::Error)]
#[error("no bonus")]
struct Wrapped(#[source] Error);

#[tokio::test]
async fn a_new_reactor_that_starts_now_ignores_the_past_and_goes_on_from_its_checkpoint_later() {
    let (store, _, network) = bank();
    opens(&network, "past").await;
    let reactor = bonus(&network, StartFrom::Now).build(&store).await.unwrap();
    opens(&network, "present").await;
    reactor.give_back().await;
    // Built once more, it goes on from where it was registered, not from where the log ends now.
    let again = bonus(&network, StartFrom::Now).build(&store).await.unwrap();
    catch_up(&again, &store).await.unwrap();
    assert_eq!((balance(&store, "past").await, balance(&store, "present").await), (0, 100));
}

#[tokio::test]
async fn identical_commands_of_one_event_have_ids_of_their_own_and_so_have_those_of_other_events() {
    let (store, _, network) = bank();
    opens(&network, "ada").await;
    opens(&network, "ada-2").await;
    let twice = |name| {
        Reactor::builder(name, network.clone(), StartFrom::Beginning).on_opened(async |commands, _, _| {
            let client = AccountServiceClient::new(commands);
            client.decide(command("ada", 1)).await?;
            client.decide(command("ada", 1)).await?;
            client.decide(command("ada", 1)).command_id("mine").await?;
            Ok(())
        })
    };
    catch_up(&twice("bonus").build(&store).await.unwrap(), &store).await.unwrap();
    catch_up(&twice("other").build(&store).await.unwrap(), &store).await.unwrap();
    let mut ids = network.ids();
    assert_eq!(ids.iter().filter(|id| *id == "mine").count(), 4);
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), balance(&store, "ada").await), (9, 9));
}

#[tokio::test]
async fn a_command_says_where_it_comes_from_and_a_query_has_no_id() {
    let (store, _, network) = bank();
    let metadata = Metadata::default()
        .tenant(Tenant::new("t1").unwrap())
        .principal("alice")
        .correlation("order-17")
        .causation("web")
        .traceparent("00-1-2-3");
    AccountServiceClient::new(network.bus.transport()).open(open("ada")).metadata(metadata).await.unwrap();
    let asking = Reactor::builder("asking", network.clone(), StartFrom::Beginning).on_opened(async |commands, _, _| {
        QueryServiceClient::new(commands.clone()).ask(command("a", 1)).await?;
        AccountServiceClient::new(commands).decide(command("ada", 1)).principal("the bank").await?;
        Ok(())
    });
    catch_up(&asking.build(&store).await.unwrap(), &store).await.unwrap();
    let [query, command] = network.sent().try_into().unwrap();
    assert_eq!((query.command_id, query.metadata.principal_id.as_deref()), (None, Some("alice")));
    let expected = Metadata::default()
        .tenant(Tenant::new("t1").unwrap())
        .principal("the bank")
        .correlation("order-17")
        .causation("event 1")
        .traceparent("00-1-2-3");
    assert_eq!(command.metadata, expected);
    assert!(command.command_id.is_some());
}

/// Sends one command that is refused, then one that is not; the account's events follow each other.
fn unlucky<F>(network: &Network, hook: F) -> ReactorBuilder
where
    ReactorBuilder: Hook<Opened, F>,
{
    Reactor::builder("unlucky", network.clone(), StartFrom::Beginning).retries(1).on_opened(hook)
}

#[tokio::test]
async fn a_refusal_that_a_hook_passes_on_goes_to_on_rejected_and_the_reactor_goes_on() {
    let (store, _, network) = bank();
    opens(&network, "ada").await;
    let rejections = Arc::new(Mutex::new(Vec::new()));
    let seen = rejections.clone();
    let reactor = unlucky(&network, async |commands, event, _| {
        let client = AccountServiceClient::new(commands);
        client.decide(command(&event.owner, 13)).await?;
        client.decide(command(&event.owner, 100)).await?;
        Ok(())
    });
    let reactor = reactor.on_opened(async |commands, event, _| {
        AccountServiceClient::new(commands).decide(command(&event.owner, 1)).await?;
        Ok(())
    });
    let reactor = reactor.on_rejected(async move |rejection, meta| {
        assert_eq!(&*meta.event_type, "bank.v1.Opened");
        seen.lock().unwrap().push(rejection);
        Ok(())
    });
    let reactor = reactor.build(&store).await.unwrap();
    catch_up(&reactor, &store).await.unwrap();
    assert_eq!(balance(&store, "ada").await, 1, "the hook ends with the refusal, the event's other hooks run");
    let [rejection] = rejections.lock().unwrap().clone().try_into().unwrap();
    assert_eq!((rejection.error.code(), rejection.position), ("UNLUCKY", 1));
    assert_eq!(rejection.route, "bank.v1.AccountService.Decide");
    assert_eq!(rejection.command_id.as_str(), network.ids()[0]);
}

#[tokio::test]
async fn a_unique_key_that_is_taken_is_a_refusal_too() {
    let (store, _, network) = bank();
    opens(&network, "ada").await;
    let rejections = Arc::new(Mutex::new(Vec::new()));
    let seen = rejections.clone();
    let reactor = unlucky(&network, async |commands, event, _| {
        AccountServiceClient::new(commands).open(open(&event.owner)).await?;
        Ok(())
    });
    let reactor = reactor.on_rejected(async move |rejection, _| {
        seen.lock().unwrap().push(rejection.error.code().to_owned());
        Ok(())
    });
    catch_up(&reactor.build(&store).await.unwrap(), &store).await.unwrap();
    assert_eq!(*rejections.lock().unwrap(), ["UNIQUE_TAKEN"]);
}

#[tokio::test]
async fn a_refusal_that_a_hook_deals_with_itself_does_not_go_to_on_rejected() {
    let (store, _, network) = bank();
    opens(&network, "ada").await;
    let reactor = unlucky(&network, async |commands, event, _| {
        let client = AccountServiceClient::new(commands);
        if client.decide(command(&event.owner, 13)).await.is_err() {
            client.decide(command(&event.owner, 14)).await?;
        }
        Ok(())
    });
    let reactor = reactor.on_rejected(async |rejection, _| Err(format!("unexpected: {rejection:?}").into()));
    catch_up(&reactor.build(&store).await.unwrap(), &store).await.unwrap();
    assert_eq!(balance(&store, "ada").await, 14);
}

#[tokio::test]
async fn without_on_rejected_a_refusal_stops_the_reactor_before_its_event() {
    let (store, _, network) = bank();
    let unlucky = unlucky(&network, async |commands, event, _| {
        let cents = if event.owner == "bob" { 13 } else { 100 };
        AccountServiceClient::new(commands).decide(command(&event.owner, cents)).await?;
        Ok(())
    });
    for owner in ["ada", "bob", "eve"] {
        opens(&network, owner).await;
    }
    let running = Runner::new(store.clone()).run(unlucky.build(&store).await.unwrap()).start().unwrap();
    let error = running.wait_for_position("unlucky", 3, LEASE).await.unwrap_err();
    assert!(matches!(&error, Error::ProjectionFaulted { position: 2, .. }), "{error}");
    assert!(format!("{error:?}").contains("UNLUCKY: not 13"), "{error:?}");
    assert_eq!(running.status("unlucky").unwrap().checkpoint, 1);
    assert_eq!(network.ids().len(), 2, "the same command would be refused again");
    assert_eq!((balance(&store, "ada").await, balance(&store, "eve").await), (100, 0));
}

#[tokio::test]
async fn what_was_not_finished_longer_ago_than_answers_are_kept_is_not_sent_again_unasked() {
    let (store, clock, network) = bank();
    opens(&network, "ada").await;
    opens(&network, "bob").await;
    network.faults(&[Fault::AnswerLost, Fault::None]);
    let reactor = bonus(&network, StartFrom::Beginning).build(&store).await.unwrap();
    reactor.advance(&store, 0).await.unwrap_err();
    let note = store.checkpoints("bonus").await.unwrap()[0].sending.expect("bob's command may be carried out");
    assert_eq!((note.to, note.since), (2, store.now()));

    clock.advance(WEEK);
    network.faults(&[Fault::Unreachable]);
    reactor.advance(&store, 0).await.unwrap_err();
    clock.advance(Duration::from_secs(1));
    network.sent();
    let running = Runner::new(store.clone()).run(reactor.clone()).start().unwrap();
    let error = running.wait_for_position("bonus", 2, LEASE).await.unwrap_err();
    let expected = "`bonus` began to send the commands of events 2 to 2 at 1970-01-01T00:00:01Z and did not finish";
    assert!(format!("{error:?}").contains(expected), "{error:?}");
    assert!(format!("{error:?}").contains("then call send_again(), and resume() where a runner has it"), "{error:?}");
    assert!(network.sent().is_empty());

    reactor.send_again().await.unwrap();
    running.resume("bonus").unwrap();
    running.wait_for_position("bonus", 2, LEASE).await.unwrap();
    assert_eq!(network.ids().len(), 1);
}

#[tokio::test]
async fn partitions_of_a_reactor_react_to_each_event_once() {
    let (store, _, network) = bank();
    for owner in 0..20 {
        opens(&network, &format!("acc-{owner}")).await;
    }
    let reactor = bonus(&network, StartFrom::Beginning).partitions(4).build(&store).await.unwrap();
    catch_up(&reactor, &store).await.unwrap();
    assert_eq!(network.ids().len(), 20);
    for owner in 0..20 {
        assert_eq!(balance(&store, &format!("acc-{owner}")).await, 100);
    }
}
