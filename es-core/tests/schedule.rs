//! Commands that are sent later: scheduled by handlers and by others, cancelled, delivered.

mod bank;

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bank::{Account, AccountRepository, AccountServiceClient, Accounts, Changed, Command, answer, command};
use es_core::{
    AppError, CommandContext, CommandId, Deliveries, Error, EventLog, EventStore, Filter, Limits, LocalBus,
    LocalTransport, ManualClock, MemoryStore, Metadata, RecordedEvent, Request, Response, Result, Root, Runner,
    Schedule, Tenant, Timestamp, Transport, store::BoxFuture, testing::given,
};
use prost::Message;
use tokio::time::{Instant, sleep};

const HOUR: Duration = Duration::from_secs(60 * 60);
const LEASE: Duration = Duration::from_secs(10);

/// What a command asks for, by its cents.
const REMIND: i64 = 0;
const REFUSED: i64 = -1;
const PANICKING: i64 = -2;
const CANCEL: i64 = -3;

/// In an hour the account gets 100 cents; any other amount it gets at once.
fn decide(
    client: &AccountServiceClient,
    account: &mut Root<Account>,
    sent: &Command,
    context: &CommandContext,
) -> Result<(), AppError> {
    let in_an_hour = context.now().saturating_add(HOUR);
    match sent.cents {
        REMIND => context.schedule("reminder", in_an_hour, client.decide(command(&sent.account_id, 100)))?,
        CANCEL => context.cancel("reminder")?,
        REFUSED | PANICKING => {
            context.schedule("reminder", in_an_hour, client.decide(command(&sent.account_id, 100)))?;
            account.emit(Changed { cents: 1 });
            assert!(sent.cents != PANICKING, "a handler that panics, on purpose");
            return Err(AppError::failed_precondition("NO", "not now"));
        }
        cents => account.emit(Changed { cents }),
    }
    Ok(())
}

/// A bank in memory with a clock that stands.
struct Bank {
    clock: Arc<ManualClock>,
    store: MemoryStore,
    client: AccountServiceClient,
    transport: LocalTransport,
}

impl Bank {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_767_225_600_000_000)));
        let store = MemoryStore::with(Limits::default(), Arc::clone(&clock));
        let bus = LocalBus::new();
        let (transport, client) = (bus.transport(), AccountServiceClient::new(bus.transport()));
        let handlers = client.clone();
        let accounts = Accounts::deciding(move |account, command, context| {
            let client = handlers.clone();
            Box::pin(async move {
                decide(&client, account, &command, context)?;
                Ok(answer(account))
            })
        });
        let _served = bus.serve(bank::AccountServiceServer::new(accounts, AccountRepository::new(store.clone())));
        Self { clock, store, client, transport }
    }

    fn deliveries(&self) -> Deliveries {
        self.deliveries_over(self.transport.clone())
    }

    fn deliveries_over(&self, transport: impl Transport) -> Deliveries {
        Deliveries::new(self.store.clone(), transport)
    }

    async fn run_due(&self) -> u64 {
        self.deliveries().run_due().await.unwrap()
    }

    /// Schedules a deposit, named by its amount, that is due now.
    async fn due_now(&self, account: &str, cents: i64) {
        let call = self.client.decide(command(account, cents));
        Schedule::new(self.store.clone()).at(cents.to_string(), self.store.now(), call).await.unwrap();
    }

    async fn balance(&self, account: &str) -> i64 {
        AccountRepository::new(self.store.clone()).load(account).await.unwrap().cents
    }

    async fn log(&self) -> Vec<RecordedEvent> {
        self.store.read_all(0, 1_000, &Filter::all()).await.unwrap().events
    }
}

type Answer = BoxFuture<'static, Result<Response>>;

/// Does with each request what a test says.
struct Through(Box<dyn Fn(Request) -> Answer + Send + Sync>);

fn through<F: Future<Output = Result<Response>> + Send + 'static>(
    call: impl Fn(Request) -> F + Send + Sync + 'static,
) -> Through {
    Through(Box::new(move |request| Box::pin(call(request))))
}

impl std::fmt::Debug for Through {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Through")
    }
}

impl Transport for Through {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response>> {
        (self.0)(request)
    }
}

fn unavailable() -> Error {
    Error::Unavailable { why: "nobody is there".into() }
}

#[tokio::test]
async fn a_scheduled_command_is_sent_once_when_its_time_has_come() {
    let bank = Bank::new();
    bank.client.decide(command("a", REMIND)).await.unwrap();
    assert_eq!(bank.run_due().await, 0);
    bank.clock.advance(HOUR - Duration::from_micros(1));
    assert_eq!((bank.run_due().await, bank.balance("a").await), (0, 0));
    bank.clock.advance(Duration::from_micros(1));
    assert_eq!((bank.run_due().await, bank.balance("a").await), (1, 100));
    bank.clock.advance(HOUR);
    assert_eq!((bank.run_due().await, bank.balance("a").await), (0, 100));
}

#[tokio::test]
async fn a_command_that_only_schedules_is_stored_with_and_without_an_id() {
    let bank = Bank::new();
    bank.client.decide(command("a", REMIND)).await.unwrap();
    bank.client.decide(command("a", CANCEL)).command_id("c-1").await.unwrap();
    assert_eq!(bank.store.scheduled(None, "reminder").await.unwrap(), None);
    let reply = bank.client.decide(command("a", REMIND)).command_id("c-2").await.unwrap();
    assert_eq!((reply.receipt().version, bank.store.head().await.unwrap()), (0, 0));
    assert!(bank.store.scheduled(None, "reminder").await.unwrap().is_some());
}

#[tokio::test]
async fn a_command_that_only_schedules_is_decided_on_the_state_as_it_is() {
    let store = MemoryStore::new();
    let repeating = || {
        let client = AccountServiceClient::new(LocalBus::new().transport());
        let accounts = Accounts::deciding(move |account, sent, context| {
            let client = client.clone();
            Box::pin(async move {
                match sent.cents {
                    0 => context.schedule("k", context.now(), client.decide(command("a", account.cents)))?,
                    cents => account.emit(Changed { cents }),
                }
                Ok(answer(account))
            })
        });
        accounts.client_on(store.clone())
    };
    let (one, two) = (repeating(), repeating());
    one.decide(command("a", 5)).await.unwrap();
    two.decide(command("a", 5)).await.unwrap();
    assert_eq!(one.decide(command("a", 0)).await.unwrap().receipt().version, 2);
    let scheduled = store.scheduled(None, "k").await.unwrap().unwrap();
    assert_eq!(Command::decode(&*scheduled.request().body).unwrap().cents, 10);
}

#[tokio::test]
async fn a_cancelled_command_is_not_sent() {
    let bank = Bank::new();
    bank.client.decide(command("a", REMIND)).await.unwrap();
    bank.client.decide(command("a", CANCEL)).await.unwrap();
    bank.clock.advance(HOUR);
    assert_eq!((bank.run_due().await, bank.balance("a").await), (0, 0));
}

#[tokio::test]
async fn a_command_scheduled_anew_is_sent_at_its_new_time_only() {
    let bank = Bank::new();
    bank.client.decide(command("a", REMIND)).await.unwrap();
    bank.clock.advance(HOUR / 2);
    bank.client.decide(command("a", REMIND)).await.unwrap();
    bank.clock.advance(HOUR / 2);
    assert_eq!(bank.run_due().await, 0);
    bank.clock.advance(HOUR / 2);
    assert_eq!((bank.run_due().await, bank.balance("a").await), (1, 100));
}

#[tokio::test]
async fn a_refused_or_failing_command_schedules_nothing() {
    let bank = Bank::new();
    for cents in [REFUSED, PANICKING] {
        for id in [None, Some("c")] {
            let call = bank.client.decide(command("a", cents));
            let call = if let Some(id) = id { call.command_id(format!("{id}{cents}")) } else { call };
            call.await.unwrap_err();
        }
    }
    assert_eq!(bank.store.scheduled(None, "reminder").await.unwrap(), None);
    assert_eq!(bank.store.head().await.unwrap(), 0);
}

#[tokio::test]
async fn a_repeated_command_does_not_schedule_what_was_delivered_already() {
    let bank = Bank::new();
    let remind = || bank.client.decide(command("a", REMIND)).command_id("c-1");
    remind().await.unwrap();
    bank.clock.advance(HOUR);
    assert_eq!(bank.run_due().await, 1);
    assert!(remind().await.unwrap().receipt().replayed);
    bank.clock.advance(HOUR);
    assert_eq!((bank.run_due().await, bank.balance("a").await), (0, 100));
}

#[tokio::test]
async fn a_scheduled_command_says_where_it_comes_from() {
    let bank = Bank::new();
    let said = Metadata::default().correlation("order-17").principal("alice").causation("e-4").traceparent("00-1-2-3");
    let said = said.tenant(Tenant::new("t1").unwrap()).entry("channel", "web");
    bank.client.decide(command("a", REMIND)).metadata(said).command_id("c-1").await.unwrap();
    bank.clock.advance(HOUR);
    assert_eq!(bank.run_due().await, 1);
    let log = bank.log().await;
    assert_eq!(log[0].meta.stream.to_string(), "t1:bank.v1.Account/a");
    let origin = log[0].meta.origin().unwrap();
    let ids = [&origin.correlation_id, &origin.causation_id, &origin.traceparent, &origin.principal_id];
    assert_eq!(ids.map(Option::as_deref), [Some("order-17"), Some("c-1"), Some("00-1-2-3"), None]);
    assert!(origin.command_id.is_some() && origin.entries.is_empty());
}

#[tokio::test]
async fn what_the_call_itself_says_counts() {
    let bank = Bank::new();
    let schedule = Schedule::new(bank.store.clone()).tenant(Tenant::new("t1").unwrap());
    let call = bank.client.decide(command("a", 5)).command_id("c-1").principal("clerk").correlation("order-18");
    schedule.at("k", bank.store.now(), call).await.unwrap();
    let scheduled = schedule.get("k").await.unwrap().unwrap();
    assert_eq!((scheduled.command_id().as_str(), scheduled.due()), ("c-1", bank.store.now()));
    assert_eq!(bank.run_due().await, 1);
    let log = bank.log().await;
    let origin = log[0].meta.origin().unwrap();
    let ids = [&origin.command_id, &origin.principal_id, &origin.correlation_id];
    assert_eq!(ids.map(|id| id.as_deref().unwrap()), ["c-1", "clerk", "order-18"]);
}

#[tokio::test]
async fn tenants_have_schedules_of_their_own() {
    let bank = Bank::new();
    for tenant in ["t1", "t2"] {
        bank.client.decide(command("a", REMIND)).tenant(tenant).await.unwrap();
    }
    bank.client.decide(command("a", CANCEL)).tenant("t1").await.unwrap();
    bank.client.decide(command("a", CANCEL)).await.unwrap();
    bank.clock.advance(HOUR);
    assert_eq!(bank.run_due().await, 1);
    assert_eq!(bank.log().await[0].meta.stream.to_string(), "t2:bank.v1.Account/a");
}

#[tokio::test]
async fn what_can_not_be_scheduled_is_refused_with_the_reason() {
    let bank = Bank::new();
    let schedule = Schedule::new(bank.store.clone());
    let now = bank.store.now();
    let call = || bank.client.decide(command("a", 1));
    let refusal = async |key: &str, call| schedule.at(key, now, call).await.unwrap_err().to_string();
    assert_eq!(refusal("", call()).await, "invalid schedule key: it is empty");
    let expected = "invalid schedule key: it has the whitespace character U+0020 at byte 1";
    assert_eq!(refusal("a b", call()).await, expected);
    assert_eq!(schedule.cancel("a b").await.unwrap_err().to_string(), expected);
    let expected = "invalid command id: it has the whitespace character U+0020 at byte 1";
    assert_eq!(refusal("k", call().command_id("c 1")).await, expected);
    let expected =
        "invalid request: the command to be scheduled under `k` is for tenant t1, the schedule is that of no tenant";
    assert_eq!(refusal("k", call().tenant("t1")).await, expected);
    assert_eq!(bank.run_due().await, 0);
}

#[tokio::test]
async fn a_command_whose_answer_was_lost_is_sent_again_with_the_same_id_and_carried_out_once() {
    let bank = Bank::new();
    bank.due_now("a", 7).await;
    let (inner, ids) = (bank.transport.clone(), Arc::new(Mutex::new(Vec::new())));
    let sent = Arc::clone(&ids);
    let losing = bank.deliveries_over(through(move |request: Request| {
        let (inner, sent) = (inner.clone(), Arc::clone(&sent));
        Box::pin(async move {
            sent.lock().unwrap().push(request.command_id.clone());
            let response = inner.call(request).await;
            let first = sent.lock().unwrap().len() == 1;
            if first { Err(Error::Timeout { after: HOUR }) } else { response }
        })
    }));
    assert_eq!(losing.run_due().await.unwrap(), 0);
    bank.clock.advance(Duration::from_secs(1));
    assert_eq!(losing.run_due().await.unwrap(), 1);
    let ids: Vec<Option<CommandId>> = ids.lock().unwrap().clone();
    assert!(ids.len() == 2 && ids[0].is_some() && ids[0] == ids[1], "{ids:?}");
    assert_eq!((bank.balance("a").await, bank.log().await.len()), (7, 1));
}

#[tokio::test]
async fn a_delivery_that_was_cut_off_is_made_up_for_when_its_lease_ends() {
    let bank = Bank::new();
    bank.due_now("a", 7).await;
    let inner = bank.transport.clone();
    let (carried_out, done) = tokio::sync::oneshot::channel();
    let carried_out = Arc::new(Mutex::new(Some(carried_out)));
    let cut_off = bank.deliveries_over(through(move |request| {
        let (inner, carried_out) = (inner.clone(), Arc::clone(&carried_out));
        Box::pin(async move {
            inner.call(request).await?;
            carried_out.lock().unwrap().take().unwrap().send(()).unwrap();
            pending().await
        })
    }));
    tokio::select! {
        delivered = cut_off.run_due() => panic!("{delivered:?}"),
        done = done => done.unwrap(),
    }
    assert_eq!(bank.run_due().await, 0, "it is leased");
    bank.clock.advance(LEASE);
    assert_eq!(bank.run_due().await, 1);
    assert_eq!((bank.balance("a").await, bank.store.next_due(Timestamp::default()).await.unwrap()), (7, None));
}

#[tokio::test]
async fn a_refusal_is_told_and_not_sent_again() {
    let bank = Bank::new();
    bank.due_now("a", REFUSED).await;
    bank.due_now("a", 5).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let deliveries = bank.deliveries().on_rejected(move |command, refusal| {
        tell.lock().unwrap().push((command.key().to_string(), refusal.code().to_owned()));
        panic!("a closure that panics, on purpose");
    });
    assert_eq!(deliveries.run_due().await.unwrap(), 2);
    bank.clock.advance(HOUR);
    assert_eq!(deliveries.run_due().await.unwrap(), 0);
    assert_eq!(*told.lock().unwrap(), [("-1".to_owned(), "NO".to_owned())]);
    assert_eq!(bank.balance("a").await, 5);
}

#[tokio::test]
async fn what_was_not_answered_is_sent_again_after_growing_pauses_and_others_go_on() {
    let bank = Bank::new();
    let (inner, calls) = (bank.transport.clone(), Arc::new(AtomicU32::new(0)));
    let count = Arc::clone(&calls);
    let deliveries = bank.deliveries_over(through(move |request: Request| {
        let (inner, count) = (inner.clone(), Arc::clone(&count));
        Box::pin(async move {
            if request.command_id.as_ref().is_some_and(|id| id.as_str() == "failing") {
                count.fetch_add(1, Ordering::SeqCst);
                return Err(unavailable());
            }
            inner.call(request).await
        })
    }));
    let failing = bank.client.decide(command("a", 1)).command_id("failing");
    Schedule::new(bank.store.clone()).at("failing", bank.store.now(), failing).await.unwrap();
    bank.due_now("a", 5).await;
    assert_eq!((deliveries.run_due().await.unwrap(), bank.balance("a").await), (1, 5));
    for (pause, expected) in [(199, 1), (1, 2), (399, 2), (1, 3), (799, 3), (1, 4)] {
        bank.clock.advance(Duration::from_millis(pause));
        assert_eq!(deliveries.run_due().await.unwrap(), 0);
        assert_eq!(calls.load(Ordering::SeqCst), expected, "after {pause} ms more");
    }
    for _ in 0..20 {
        bank.clock.advance(Duration::from_secs(30));
        deliveries.run_due().await.unwrap();
    }
    assert_eq!(calls.load(Ordering::SeqCst), 24, "the pause stays at 30 seconds");
    Schedule::new(bank.store.clone()).cancel("failing").await.unwrap();
    bank.clock.advance(HOUR);
    deliveries.run_due().await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 24);
}

#[tokio::test]
async fn a_service_that_is_missing_or_panics_does_not_lose_the_command() {
    let bank = Bank::new();
    bank.due_now("a", PANICKING).await;
    bank.due_now("a", 5).await;
    let nobody = bank.deliveries_over(LocalBus::new().transport());
    assert_eq!(nobody.run_due().await.unwrap(), 0);
    bank.clock.advance(Duration::from_secs(1));
    assert_eq!((bank.run_due().await, bank.balance("a").await), (1, 5));
    assert!(bank.store.scheduled(None, "-2").await.unwrap().is_some());
    let panicking = bank.deliveries_over(through(|_| -> Answer { panic!("a transport that panics, on purpose") }));
    bank.clock.advance(Duration::from_secs(1));
    assert_eq!(panicking.run_due().await.unwrap(), 0);
    assert!(bank.store.scheduled(None, "-2").await.unwrap().is_some());
}

#[tokio::test]
async fn a_command_whose_credential_was_not_accepted_is_sent_again() {
    let bank = Bank::new();
    bank.due_now("a", 5).await;
    for refusal in [AppError::unauthenticated("EXPIRED", "log in"), AppError::permission_denied("NOT_YET", "ask")] {
        let refusing = bank.deliveries_over(through(move |_| {
            let refusal = refusal.clone();
            async move { Err(Error::Rejected(refusal)) }
        }));
        assert_eq!(refusing.run_due().await.unwrap(), 0);
        bank.clock.advance(Duration::from_secs(1));
    }
    assert_eq!((bank.run_due().await, bank.balance("a").await), (1, 5));
}

#[tokio::test]
async fn two_that_deliver_send_each_command_once() {
    let bank = Bank::new();
    for cents in 1..=50 {
        bank.due_now(&format!("a{cents}"), cents).await;
    }
    let calls = Arc::new(AtomicUsize::new(0));
    let deliveries = || {
        let (inner, calls) = (bank.transport.clone(), Arc::clone(&calls));
        bank.deliveries_over(through(move |request| {
            let inner = inner.clone();
            calls.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                tokio::task::yield_now().await;
                inner.call(request).await
            })
        }))
    };
    let (one, two) = (deliveries(), deliveries());
    let (one, two) = tokio::join!(one.run_due(), two.run_due());
    assert_eq!((one.unwrap() + two.unwrap(), calls.load(Ordering::SeqCst)), (50, 50));
    assert_eq!(bank.log().await.len(), 50);
}

#[tokio::test]
async fn sixteen_are_under_way_at_once_and_one_that_hangs_holds_up_no_other() {
    let bank = Bank::new();
    for cents in 1..=50 {
        bank.due_now(&format!("a{cents}"), cents).await;
    }
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inner, at_once, at_most) = (bank.transport.clone(), Arc::clone(&now), Arc::clone(&most));
    let (release, released) = tokio::sync::watch::channel(false);
    let deliveries = bank.deliveries_over(through(move |request: Request| {
        let (inner, at_once, at_most) = (inner.clone(), Arc::clone(&at_once), Arc::clone(&at_most));
        let mut released = released.clone();
        Box::pin(async move {
            at_most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            let response = inner.call(request).await;
            if response.as_ref().is_ok_and(|response| response.receipt.as_ref().unwrap().stream.id.as_str() == "a1") {
                released.wait_for(|released| *released).await.unwrap();
            }
            at_once.fetch_sub(1, Ordering::SeqCst);
            response
        })
    }));
    let delivering = tokio::spawn(async move { deliveries.run_due().await.unwrap() });
    bank.store.watch().wait_for(|head| *head == 50).await.unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 16);
    release.send(true).unwrap();
    assert_eq!(delivering.await.unwrap(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_keeps_its_lease_and_a_hanging_one_is_given_up() {
    let bank = Bank::new();
    bank.due_now("a", 7).await;
    let hanging = bank.deliveries_over(through(|_| pending())).timeout(Duration::from_secs(12));
    let delivering = tokio::spawn(async move { hanging.run_due().await.unwrap() });
    tokio::time::sleep(Duration::from_secs(1)).await;
    bank.clock.advance(LEASE / 2);
    tokio::time::sleep(LEASE / 2).await;
    bank.clock.advance(LEASE / 2);
    assert_eq!(bank.run_due().await, 0, "the lease was renewed");
    assert_eq!(delivering.await.unwrap(), 0);
    bank.clock.advance(Duration::from_millis(200));
    assert_eq!((bank.run_due().await, bank.balance("a").await), (1, 7));
}

#[tokio::test]
async fn a_handler_may_schedule_the_next_one_under_the_key_it_came_by() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(0)));
    let store = MemoryStore::with(Limits::default(), Arc::clone(&clock));
    let bus = LocalBus::new();
    let client = AccountServiceClient::new(bus.transport());
    let accounts = {
        let client = client.clone();
        Accounts::deciding(move |account, sent, context| {
            let client = client.clone();
            Box::pin(async move {
                account.emit(Changed { cents: 1 });
                context.schedule("tick", context.now().saturating_add(HOUR), client.decide(sent))?;
                Ok(answer(account))
            })
        })
    };
    let bus = bus.serve(bank::AccountServiceServer::new(accounts, AccountRepository::new(store.clone())));
    client.decide(command("a", 1)).await.unwrap();
    let deliveries = Deliveries::new(store.clone(), bus.transport());
    for _ in 0..3 {
        clock.advance(HOUR);
        assert_eq!(deliveries.run_due().await.unwrap(), 1);
    }
    assert_eq!(store.head().await.unwrap(), 4);
}

#[tokio::test]
async fn in_the_background_commands_are_sent_as_they_come_and_a_jump_of_the_clock_is_noticed() {
    let bank = Bank::new();
    let mut head = bank.store.watch();
    bank.due_now("a", 1).await;
    let delivering = bank.deliveries().start().unwrap();
    head.wait_for(|head| *head == 1).await.unwrap();
    bank.due_now("a", 2).await;
    head.wait_for(|head| *head == 2).await.unwrap();
    bank.client.decide(command("a", REMIND)).await.unwrap();
    bank.clock.advance(HOUR);
    head.wait_for(|head| *head == 3).await.unwrap();
    delivering.shutdown().await;
    assert_eq!(bank.balance("a").await, 103);
    assert_eq!(bank.store.next_due(Timestamp::default()).await.unwrap(), None, "all is settled");
}

/// On a paused clock, time passes only where everybody waits for it.
#[tokio::test(start_paused = true)]
async fn a_command_that_is_due_at_once_does_not_wait_for_the_next_look() {
    let bank = Bank::new();
    let mut head = bank.store.watch();
    let (delivering, begun) = (bank.deliveries().start().unwrap(), Instant::now());
    sleep(Duration::from_millis(50)).await;
    bank.due_now("a", 1).await;
    head.wait_for(|head| *head == 1).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
    delivering.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_runner_delivers_what_is_due_until_it_is_shut_down() {
    let bank = Bank::new();
    let mut head = bank.store.watch();
    let running = Runner::new(bank.store.clone()).deliver(bank.transport.clone()).start().unwrap();
    bank.due_now("a", 1).await;
    head.wait_for(|head| *head == 1).await.unwrap();
    running.shutdown().await;
    assert!(bank.store.scheduled(None, "1").await.unwrap().is_none(), "answered and settled");
    bank.due_now("a", 2).await;
    sleep(HOUR).await;
    assert!(bank.store.scheduled(None, "2").await.unwrap().is_some());
    assert_eq!(bank.balance("a").await, 1);
}

#[tokio::test]
async fn shutting_down_waits_for_what_is_under_way_and_sends_nothing_more() {
    let bank = Bank::new();
    bank.due_now("a", 1).await;
    let inner = bank.transport.clone();
    let (release, released) = tokio::sync::watch::channel(false);
    let (begun, mut beginning) = tokio::sync::watch::channel(false);
    let delivering = bank
        .deliveries_over(through(move |request| {
            let (inner, mut released) = (inner.clone(), released.clone());
            begun.send_replace(true);
            Box::pin(async move {
                released.wait_for(|released| *released).await.unwrap();
                inner.call(request).await
            })
        }))
        .start()
        .unwrap();
    beginning.wait_for(|begun| *begun).await.unwrap();
    let mut stopping = pending_at_first(delivering.shutdown()).await;
    bank.due_now("a", 2).await;
    release.send(true).unwrap();
    stopping.as_mut().await;
    assert_eq!(bank.balance("a").await, 1);
    assert!(bank.store.scheduled(None, "1").await.unwrap().is_none());
    assert!(bank.store.scheduled(None, "2").await.unwrap().is_some());
}

/// Polls a future once; it must not be done yet.
async fn pending_at_first(future: impl Future<Output = ()>) -> std::pin::Pin<Box<impl Future<Output = ()>>> {
    let mut future = Box::pin(future);
    let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await;
    assert!(polled.is_pending());
    future
}

#[test]
fn deliveries_without_a_runtime_or_its_timers_are_refused() {
    let deliveries = || Deliveries::new(MemoryStore::new(), LocalBus::new().transport());
    let error = deliveries().start().unwrap_err().to_string();
    assert!(error.starts_with("unavailable: deliveries need a tokio runtime"), "{error}");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(async { deliveries().start().unwrap_err().to_string() });
    assert_eq!(error, "unavailable: deliveries need a tokio runtime with timers: enable_time()");
}

#[tokio::test]
async fn given_when_then_shows_what_is_scheduled_and_cancelled() {
    let client = AccountServiceClient::new(LocalBus::new().transport());
    let in_an_hour = Timestamp::from_micros(1_767_225_600_000_000).saturating_add(HOUR);
    let when = async |cents| {
        let (sent, client) = (command("a", cents), client.clone());
        given::<Account>("a").when(async |account, context| decide(&client, account, &sent, context)).await
    };
    when(REMIND).await.then_schedules("reminder", in_an_hour, client.decide(command("a", 100))).then_no_events();
    when(CANCEL).await.then_cancels("reminder");
}

#[tokio::test]
#[should_panic(expected = "nothing is scheduled under `reminder`")]
async fn given_when_then_fails_where_nothing_is_scheduled() {
    let client = AccountServiceClient::new(LocalBus::new().transport());
    let call = client.decide(command("a", 100));
    let sent = command("a", 5);
    given::<Account>("a").when(async |account, context| decide(&client, account, &sent, context)).await.then_schedules(
        "reminder",
        Timestamp::default(),
        call,
    );
}
