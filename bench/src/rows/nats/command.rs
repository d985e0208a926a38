//! Durable commands over NATS.

use std::{path::Path, sync::Arc};

use async_nats::Client;
use es_nats::{Nats, NatsServer, NatsTransport};
use es_sqlite::SqliteStore;
use futures_util::StreamExt;
use prost::Message;

use super::raw;
use crate::{
    bench::v1::{AccountCommandServiceClient, AccountCommandServiceServer, AccountRepository, DepositCommand},
    by_hand::{connection, group_commit::GroupCommit},
    data,
    rounds::{Lab, Result, Row, Sample, Target, drive, remove, warm_up},
    rows::{
        command::{Accounts, Bank, send},
        expect_stored,
    },
};

/// Commands of clients that each have an account of their own, over one connection.
pub(super) struct Commands {
    clients: u64,
    server: Option<test_servers::NatsServer>,
}

impl Commands {
    pub(super) fn of(clients: u64) -> Self {
        Self { clients, server: None }
    }

    fn url(&self) -> Result<String> {
        Ok(self.server.as_ref().ok_or("nats-server is not started")?.url())
    }
}

impl Row for Commands {
    fn name(&self) -> String {
        format!("nats-command-{}", self.clients)
    }

    fn target(&self) -> Target {
        Target::Share(0.80)
    }

    fn unit(&self) -> &'static str {
        "commands"
    }

    fn baseline(&self) -> &'static str {
        "async-nats and group commit by hand"
    }

    fn prepare(&mut self, lab: &Lab) -> Result<()> {
        self.server = Some(lab.runtime.block_on(test_servers::NatsServer::start())?);
        Ok(())
    }

    fn ours(&mut self, lab: &Lab) -> Result<Sample> {
        let path = lab.fresh("nats-command-ours")?;
        let (url, file, clients, budget) = (self.url()?, path.clone(), self.clients, lab.budget);
        let sample = lab.run(async move {
            let store = SqliteStore::open(file).await?;
            let nats = Nats::connect(&url).await?;
            let bank = AccountCommandServiceServer::new(Accounts, AccountRepository::new(store.clone()));
            let serving = NatsServer::new(&nats, &store).serve(bank).start().await?;
            let client = AccountCommandServiceClient::new(NatsTransport::new(&nats));
            warm_up(clients, |caller| {
                let client = client.clone();
                async move { send(&client, &data::account_id(caller), caller, 0, true).await }
            })
            .await?;
            let sample = drive(clients, budget, |caller, mut turns| {
                let client = client.clone();
                async move {
                    let account_id = data::account_id(caller);
                    while let Some(call) = turns.next() {
                        send(&client, &account_id, caller, call, true).await?;
                    }
                    Ok(turns)
                }
            })
            .await?;
            serving.shutdown().await;
            store.shutdown().await?;
            Ok(sample)
        })?;
        expect_stored(&path, clients, &sample)?;
        remove(&path)?;
        Ok(sample)
    }

    fn by_hand(&mut self, lab: &Lab) -> Result<Sample> {
        let path = lab.fresh("nats-command-by-hand")?;
        let (url, clients, budget) = (self.url()?, self.clients, lab.budget);
        let sample = self::by_hand(lab, &path, url, clients, budget)?;
        expect_stored(&path, clients, &sample)?;
        remove(&path)?;
        Ok(sample)
    }

    fn clean_up(&mut self, _: &Lab) -> Result<()> {
        self.server = None;
        Ok(())
    }
}

fn by_hand(lab: &Lab, path: &Path, url: String, clients: u64, budget: crate::rounds::Budget) -> Result<Sample> {
    lab.runtime.block_on(connection::create(path))?;
    let (writer, thread) = GroupCommit::start(path);
    let sample = lab.run(async move {
        let bank = Bank { accounts: Arc::default(), writer };
        let responder = async_nats::connect(&url).await?;
        let responding = tokio::spawn(respond(responder.clone(), bank));
        responder.flush().await?;
        let client = async_nats::connect(&url).await?;
        until_served(&client).await?;
        let sample = raw::calls(client, clients, budget).await;
        responding.abort();
        let _ = responding.await;
        sample
    })?;
    thread.join().map_err(|_| "the writing thread panicked")??;
    Ok(sample)
}

async fn until_served(client: &Client) -> Result<()> {
    // Nobody subscribed yet is told at once; what can not be decoded is answered, too.
    while client
        .request(raw::SUBJECT, "?".into())
        .await
        .is_err_and(|error| error.kind() == async_nats::client::RequestErrorKind::NoResponders)
    {
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// A task for each request, which answers when its commit is done.
async fn respond(client: Client, bank: Bank) -> Result<()> {
    let mut requests = client.queue_subscribe(raw::SUBJECT, "q".into()).await?;
    while let Some(request) = requests.next().await {
        let Some(reply) = request.reply else { continue };
        let Ok(command) = DepositCommand::decode(request.payload) else {
            client.publish(reply, "?".into()).await?;
            continue;
        };
        let headers = request.headers.unwrap_or_default();
        let id = headers.get("Command-ID").map(|id| id.as_str().to_owned()).unwrap_or_default();
        let (bank, client) = (bank.clone(), client.clone());
        tokio::spawn(async move {
            let (caller, call) = numbers(&id);
            if let Ok(response) = bank.deposit(command, caller, call, true).await {
                // A caller that is gone needs no answer.
                let _ = client.publish(reply, raw::answer(&response).encode_to_vec().into()).await;
            }
        });
    }
    Ok(())
}

/// The numbers that the id of a call is made of.
fn numbers(id: &str) -> (u64, u64) {
    let number = |part: Option<&str>| part.and_then(|part| u64::from_str_radix(part, 16).ok()).unwrap_or_default();
    (number(id.split('-').next()), number(id.split('-').next_back()))
}
