//! Code of the user that panics, wherever it is called: an error for its caller, and nobody else notices.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use bank::bank::v1::{
    Account, AccountCommandService, AccountCommandServiceClient, AccountCommandServiceServer, AccountOpened,
    AccountRepository, AccountResponse, CloseAccountCommand, DepositCommand, OpenAccountCommand, TransferCommand,
    WithdrawCommand,
};
use es_core::{
    AppError, Clock, CommandContext, Error, EventLog, EventStore, Expected, HookBuilder, LocalBus, RecordedRef, Root,
    Timestamp,
};
use es_sqlite::{SqliteProjection, SqliteStore};
use torture::{checker::Checker, journal::Journal, work::Ask};

use crate::support::{expect_panics, folder, run};

type Answer = Result<AccountResponse, AppError>;

/// Deposits, and panics at 13 cents, before or after it emitted.
struct Superstitious;

impl AccountCommandService for Superstitious {
    async fn open_account(
        &self,
        account: &mut Root<Account>,
        command: OpenAccountCommand,
        _: &CommandContext,
    ) -> Answer {
        account.emit(AccountOpened { account_id: account.id().to_string(), owner: command.owner });
        Ok(AccountResponse { account_id: account.id().to_string(), ..AccountResponse::default() })
    }

    async fn deposit(&self, account: &mut Root<Account>, command: DepositCommand, _: &CommandContext) -> Answer {
        let event = bank::bank::v1::MoneyDeposited { account_id: command.account_id, cents: command.cents };
        assert_ne!(event.cents, 13, "wanted: bad luck");
        account.emit(event);
        // Halfway: another task runs in between.
        tokio::task::yield_now().await;
        assert_ne!(command.cents, 1_313, "wanted: very bad luck");
        Ok(AccountResponse { balance_cents: account.balance_cents, ..AccountResponse::default() })
    }

    async fn withdraw(&self, _: &mut Root<Account>, _: WithdrawCommand, _: &CommandContext) -> Answer {
        unreachable!("not asked for")
    }

    async fn transfer(&self, _: &mut Root<Account>, _: TransferCommand, _: &CommandContext) -> Answer {
        unreachable!("not asked for")
    }

    async fn close_account(&self, _: &mut Root<Account>, _: CloseAccountCommand, _: &CommandContext) -> Answer {
        unreachable!("not asked for")
    }
}

#[test]
fn a_command_handler_that_panics_stores_nothing_and_holds_up_nobody() {
    expect_panics();
    let (_folder, path) = folder();
    run(async {
        let store = SqliteStore::open(&path).await.unwrap();
        let server = AccountCommandServiceServer::new(Superstitious, AccountRepository::new(store.clone()));
        let bus = LocalBus::new().serve(server);
        let accounts = AccountCommandServiceClient::new(bus.transport());
        let opened = accounts.open_account(OpenAccountCommand { owner: "Ada".into() }).await.unwrap();
        let deposit = |cents| accounts.deposit(DepositCommand { account_id: opened.account_id.clone(), cents });
        for round in 1..=20 {
            for cents in [13, 1_313] {
                let error = deposit(cents).command_id(format!("bad-{round}-{cents}")).await.unwrap_err();
                assert!(matches!(error, Error::HandlerPanicked { .. }), "{error}");
                let text = format!("{error} {error:?}");
                assert!(!text.contains("luck"), "the panic's message is for the log: {text}");
            }
            assert_eq!(deposit(1).await.unwrap().balance_cents, round);
        }
        assert_eq!(store.head().await.unwrap(), 21);
    });
}

#[test]
fn a_decision_or_a_visitor_that_panics_harms_only_its_caller() {
    expect_panics();
    let (_folder, path) = folder();
    run(async {
        let store = SqliteStore::builder(&path).readers(1).open().await.unwrap();
        let accounts = AccountRepository::new(store.clone());
        for round in 1..=10 {
            let decided = accounts.execute("a", |_| -> Result<(), AppError> { panic!("wanted: a bad decision") }).await;
            assert!(matches!(decided, Err(Error::HandlerPanicked { .. })), "{decided:?}");
            let open = |account: &mut Root<Account>| {
                account.emit(AccountOpened { account_id: "a".into(), owner: "Ada".into() });
                Ok(())
            };
            accounts.execute("a", open).await.unwrap();
            let (stream, store_too) = (es_core::StreamKey::of::<Account>("a".try_into().unwrap()), store.clone());
            let visiting = tokio::spawn(async move {
                let mut visit =
                    |_: RecordedRef<'_>| -> es_core::Result<ControlFlow<()>> { panic!("wanted: a bad visitor") };
                store_too.fold(&stream, 0, &mut visit).await
            });
            assert!(visiting.await.unwrap_err().is_panic());
            assert_eq!(store.head().await.unwrap(), round);
        }
    });
}

#[test]
fn a_hook_that_panics_between_appends_loses_none_of_them() {
    expect_panics();
    let (_folder, path) = folder();
    run(async {
        let store = SqliteStore::open(&path).await.unwrap();
        let accounts = AccountRepository::new(store.clone());
        let open = |account: &mut Root<Account>| {
            account.emit(AccountOpened { account_id: "a".into(), owner: "Ada".into() });
            Ok(())
        };
        accounts.execute("a", open).await.unwrap();
        let projection = SqliteProjection::builder("panics")
            .migration("CREATE TABLE seen (id)")
            .on::<AccountOpened, _>(|tx, _, _| {
                tx.execute("INSERT INTO seen VALUES (1)", ())?;
                panic!("wanted: a bad hook")
            })
            .build(&store)
            .unwrap();
        let appends: Vec<_> = (0..16)
            .map(|task| {
                let accounts = accounts.clone();
                tokio::spawn(async move {
                    for number in 0..10 {
                        accounts.execute(format!("b-{task}-{number}"), open).await.unwrap();
                    }
                })
            })
            .collect();
        for _ in 0..20 {
            let error = projection.catch_up().await.unwrap_err();
            assert!(matches!(error, Error::ProjectionFaulted { position: 1, .. }), "{error}");
        }
        for append in appends {
            append.await.unwrap();
        }
        assert_eq!(store.head().await.unwrap(), 161);
    });
}

/// A clock that panics when its turn has come.
#[derive(Clone, Debug)]
struct Bomb(Arc<AtomicI64>);

impl Clock for Bomb {
    fn now(&self) -> Timestamp {
        assert_ne!(self.0.fetch_sub(1, Ordering::SeqCst), 0, "wanted: the clock is broken");
        Timestamp::from_micros(1_000_000)
    }
}

/// The clock is the user's as well, and the writer asks it on its own thread.
#[test]
fn a_clock_that_panics_fails_an_append_and_not_the_writer() {
    expect_panics();
    for calls in 0..6 {
        let (_folder, path) = folder();
        run(async {
            let fuse = Arc::new(AtomicI64::new(i64::MAX));
            let store = SqliteStore::builder(&path).clock(Bomb(Arc::clone(&fuse))).open().await.unwrap();
            let (journal, mut checker) = (Journal::in_memory(), Checker::new());
            Ask::new("before").to("a", 1, Expected::Any).append(&store, &journal).await.unwrap();
            fuse.store(calls, Ordering::SeqCst);
            for number in 0..8 {
                let ask = Ask::new(format!("during-{number}")).to("a", 1, Expected::Any);
                let _ = ask.append(&store, &journal).await;
            }
            let after = Ask::new("after").to("a", 1, Expected::Any).append(&store, &journal).await;
            assert!(after.is_ok(), "the writer is gone after {calls} calls: {after:?}");
            checker.learn(journal.take());
            checker.check_whole(&store).await;
            assert!(checker.violations().is_empty(), "{:?}", checker.violations());
        });
    }
}
