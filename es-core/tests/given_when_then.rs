//! The fixture a domain is tested with.

mod domain;

use std::time::Duration;

use domain::{Account, AccountEvent, deposited, opened};
use es_core::{
    AppError, CommandContext, Result, Root, ensure,
    testing::{Decided, given},
};

async fn withdraw(account: &mut Root<Account>, cents: i64, context: &CommandContext) -> Result<i64, AppError> {
    ensure!(cents <= account.cents, AppError::failed_precondition("INSUFFICIENT_FUNDS", "too low"));
    account.emit(deposited(-cents));
    let mut bank = context.enlist::<Account>("bank").await?;
    bank.emit(deposited(cents));
    Ok(account.cents)
}

async fn decided(cents: i64) -> Decided<Account, i64> {
    given::<Account>("a")
        .event(opened("Ada"))
        .event(deposited(10))
        .and::<Account, _>("bank", opened("the bank"))
        .when(async |account, context| withdraw(account, cents, context).await)
        .await
}

#[tokio::test]
async fn an_accepted_command_shows_its_events_its_answer_and_the_state() {
    let decided = decided(4).await.then_events([deposited(-4)]).then_events_of::<Account, _>("bank", [deposited(4)]);
    assert_eq!((decided.response(), decided.state().cents), (&6, 6));
}

#[tokio::test]
async fn a_refused_command_shows_its_code() {
    assert_eq!(decided(11).await.then_error("INSUFFICIENT_FUNDS").message(), "too low");
}

#[tokio::test]
async fn events_of_several_types_are_compared_as_the_set() {
    given::<Account>("a")
        .when(async |account: &mut Root<Account>, _| {
            account.emit(opened("Ada"));
            account.emit(deposited(1));
            Ok::<_, AppError>(())
        })
        .await
        .then_events([AccountEvent::from(opened("Ada")), deposited(1).into()]);
}

#[tokio::test]
async fn the_clock_stands_where_the_test_puts_it() {
    given::<Account>("a")
        .after(Duration::from_secs(60))
        .when(async |_, context| {
            assert_eq!(context.now().to_string(), "2026-01-01T00:01:00Z");
            Ok::<_, AppError>(())
        })
        .await
        .then_no_events();
}

#[tokio::test]
#[should_panic(expected = "the emitted events")]
async fn other_events_than_expected_fail_the_test() {
    decided(4).await.then_events([deposited(-5)]);
}

#[tokio::test]
#[should_panic(expected = "the command was refused: INSUFFICIENT_FUNDS: too low")]
async fn a_refusal_fails_a_test_that_expects_events() {
    decided(11).await.then_events([deposited(-11)]);
}

#[tokio::test]
#[should_panic(expected = "the refusal INSUFFICIENT_FUNDS was expected, the command was accepted: 6")]
async fn an_accepted_command_fails_a_test_that_expects_a_refusal() {
    decided(4).await.then_error("INSUFFICIENT_FUNDS");
}
