//! The round trip of a command whose handler does nothing.

use es_core::{MemoryStore, MethodInfo, Receipt, Request, Response, Service, StreamKey, store::BoxFuture};
use es_nats::{Nats, NatsServer, NatsTransport};
use prost::Message;

use super::raw;
use crate::{
    bench::v1::{AccountCommandServiceClient, DepositCommand},
    data,
    rounds::{Lab, Result, Row, Sample, Target, drive, warm_up},
};

/// Requests of so many callers at once, over one connection.
pub(super) struct Requests {
    clients: u64,
    server: Option<test_servers::NatsServer>,
}

impl Requests {
    pub(super) fn of(clients: u64) -> Self {
        Self { clients, server: None }
    }

    fn url(&self) -> Result<String> {
        Ok(self.server.as_ref().ok_or("nats-server is not started")?.url())
    }
}

impl Row for Requests {
    fn name(&self) -> String {
        format!("nats-request-{}", self.clients)
    }

    fn target(&self) -> Target {
        Target::Share(0.85)
    }

    fn unit(&self) -> &'static str {
        "commands"
    }

    fn baseline(&self) -> &'static str {
        "async-nats by hand"
    }

    fn prepare(&mut self, lab: &Lab) -> Result<()> {
        self.server = Some(lab.runtime.block_on(test_servers::NatsServer::start())?);
        Ok(())
    }

    fn ours(&mut self, lab: &Lab) -> Result<Sample> {
        let (url, clients, budget) = (self.url()?, self.clients, lab.budget);
        lab.run(async move {
            let nats = Nats::connect(&url).await?;
            let serving = NatsServer::new(&nats, &MemoryStore::new()).serve(Nothing).start().await?;
            let client = AccountCommandServiceClient::new(NatsTransport::new(&nats));
            warm_up(clients, |caller| {
                let client = client.clone();
                async move { send(&client, &data::account_id(caller), caller, 0).await }
            })
            .await?;
            let sample = drive(clients, budget, |caller, mut turns| {
                let client = client.clone();
                async move {
                    let account_id = data::account_id(caller);
                    while let Some(call) = turns.next() {
                        send(&client, &account_id, caller, call).await?;
                    }
                    Ok(turns)
                }
            })
            .await?;
            serving.shutdown().await;
            Ok(sample)
        })
    }

    fn by_hand(&mut self, lab: &Lab) -> Result<Sample> {
        let (url, clients, budget) = (self.url()?, self.clients, lab.budget);
        lab.run(async move {
            raw::respond(async_nats::connect(&url).await?).await?;
            raw::calls(async_nats::connect(&url).await?, clients, budget).await
        })
    }

    fn clean_up(&mut self, _: &Lab) -> Result<()> {
        self.server = None;
        Ok(())
    }
}

async fn send(client: &AccountCommandServiceClient, account_id: &str, caller: u64, call: u64) -> Result<()> {
    let deposit = client.deposit(data::deposit(account_id, call)).metadata(data::metadata(caller, call));
    let reply = deposit.command_id(data::call_id(caller, call)).await?;
    if reply.account_id == account_id { Ok(()) } else { Err(format!("an answer of {}", reply.account_id).into()) }
}

/// A service that decodes, encodes, and does nothing in between.
struct Nothing;

const SERVICE: &str = "bench.v1.AccountCommandService";

const DEPOSIT: MethodInfo = MethodInfo {
    service: SERVICE,
    name: "Deposit",
    input: "bench.v1.DepositCommand",
    output: "bench.v1.AccountResponse",
};

impl Service for Nothing {
    fn name(&self) -> &'static str {
        SERVICE
    }

    fn methods(&self) -> &'static [MethodInfo] {
        &[DEPOSIT]
    }

    fn call(&self, request: Request) -> BoxFuture<'_, es_core::Result<Response>> {
        Box::pin(async move {
            let command = DepositCommand::decode(&*request.body)
                .map_err(|error| es_core::Error::InvalidRequest { why: error.to_string() })?;
            let answer = raw::nothing(&command);
            let stream = StreamKey::new(None, data::STREAM_TYPE, command.account_id.try_into()?);
            let receipt = Receipt { stream, version: answer.version, position: answer.version, replayed: false };
            Ok(Response::new(DEPOSIT.output, answer.encode_to_vec(), Some(receipt)))
        })
    }
}
