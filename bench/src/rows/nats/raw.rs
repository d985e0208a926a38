//! Request and reply as written by hand: the headers and bodies of ours, and nothing that makes them safe.

use async_nats::{Client, HeaderMap, Message};
use es_core::{Metadata, prost_types, wire};
use futures_util::StreamExt;
use prost::Message as _;

use crate::{
    bench::v1::{AccountResponse, DepositCommand},
    data,
    rounds::{Budget, Result, Sample, drive, warm_up},
};

pub(super) const SUBJECT: &str = "bench.v1.AccountCommandService.Deposit";

/// Sends a deposit and checks its answer.
async fn send(client: &Client, account_id: &str, caller: u64, call: u64) -> Result<()> {
    let Metadata { principal_id, correlation_id, causation_id, traceparent, entries, .. } =
        data::metadata(caller, call);
    let mut headers = HeaderMap::new();
    headers.insert("Message-Type", "bench.v1.DepositCommand");
    headers.insert("Command-ID", data::call_id(caller, call));
    let ids = [
        ("Principal-ID", principal_id),
        ("Correlation-ID", correlation_id),
        ("Causation-ID", causation_id),
        ("traceparent", traceparent),
    ];
    for (name, id) in ids {
        if let Some(id) = id {
            headers.insert(name, id);
        }
    }
    for (key, value) in entries {
        headers.insert(format!("Meta-{key}"), value);
    }
    let body = data::deposit(account_id, call).encode_to_vec();
    let reply = client.request_with_headers(SUBJECT, headers, body.into()).await?;
    let response = wire::Response::decode(reply.payload)?;
    let data = response.data.ok_or("no data")?;
    let answer = AccountResponse::decode(&*data.value)?;
    if answer.account_id == account_id { Ok(()) } else { Err(format!("an answer of {}", answer.account_id).into()) }
}

/// So many callers over one connection.
pub(super) async fn calls(client: Client, clients: u64, budget: Budget) -> Result<Sample> {
    warm_up(clients, |caller| {
        let client = client.clone();
        async move { send(&client, &data::account_id(caller), caller, 0).await }
    })
    .await?;
    drive(clients, budget, |caller, mut turns| {
        let client = client.clone();
        async move {
            let account_id = data::account_id(caller);
            while let Some(call) = turns.next() {
                send(&client, &account_id, caller, call).await?;
            }
            Ok(turns)
        }
    })
    .await
}

/// The answer of a service to a deposit.
pub(super) fn answer(answer: &AccountResponse) -> wire::Response {
    let receipt = wire::Receipt {
        r#type: data::STREAM_TYPE.into(),
        id: answer.account_id.clone(),
        version: answer.version,
        position: answer.version,
        ..wire::Receipt::default()
    };
    wire::Response {
        success: true,
        error: None,
        data: Some(prost_types::Any {
            type_url: "type.googleapis.com/bench.v1.AccountResponse".into(),
            value: answer.encode_to_vec(),
        }),
        receipt: Some(receipt),
    }
}

/// What a deposit that does nothing answers.
pub(super) fn nothing(command: &DepositCommand) -> AccountResponse {
    AccountResponse { account_id: command.account_id.clone(), balance_cents: command.cents, version: 1 }
}

/// Answers every request at once, without doing anything.
pub(super) async fn respond(client: Client) -> Result<()> {
    let mut requests = client.queue_subscribe(SUBJECT, "q".into()).await?;
    client.flush().await?;
    tokio::spawn(async move {
        while let Some(Message { reply: Some(reply), payload, .. }) = requests.next().await {
            let Ok(command) = DepositCommand::decode(payload) else { continue };
            let body = answer(&nothing(&command)).encode_to_vec();
            if client.publish(reply, body.into()).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}
