//! Who serves here: the answers to `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`, as the service protocol of NATS has them.

use std::{collections::HashMap, sync::Arc};

use async_nats::Client;
use es_core::{Clock, SystemClock};
use futures_util::{StreamExt, stream::select_all};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::endpoint::Endpoint;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A served service, as it is described to those who ask.
#[derive(Debug)]
pub(super) struct Description {
    /// The name of the NATS service.
    pub(super) name: String,
    /// The full proto name.
    pub(super) description: &'static str,
    pub(super) metadata: HashMap<String, String>,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
}

/// Answers those who ask, until it is dropped.
#[derive(Debug)]
pub(super) struct Discovery(JoinHandle<()>);

impl Drop for Discovery {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Discovery {
    /// # Errors
    /// Why it can't subscribe.
    pub(super) async fn start(client: &Client, service: Description) -> Result<Self, async_nats::SubscribeError> {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let mut questions = Vec::new();
        for verb in [Verb::Ping, Verb::Info, Verb::Stats] {
            let all = format!("$SRV.{}", verb.name());
            let named = format!("{all}.{}", service.name);
            let this = format!("{named}.{id}");
            for subject in [all, named, this] {
                questions.push(client.subscribe(subject).await?.map(move |message| (verb, message.reply)));
            }
        }
        let (client, started) = (client.clone(), SystemClock.now().to_string());
        let mut questions = select_all(questions);
        Ok(Self(tokio::spawn(async move {
            while let Some((verb, reply)) = questions.next().await {
                let Some(reply) = reply else { continue };
                let answer = service.answer(verb, &id, &started).to_string();
                if client.publish(reply, answer.into()).await.is_err() {
                    return;
                }
            }
        })))
    }
}

#[derive(Clone, Copy, Debug)]
enum Verb {
    Ping,
    Info,
    Stats,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Ping => "PING",
            Self::Info => "INFO",
            Self::Stats => "STATS",
        }
    }
}

impl Description {
    fn answer(&self, verb: Verb, id: &str, started: &str) -> Value {
        let mut answer = json!({
            "type": format!("io.nats.micro.v1.{}_response", verb.name().to_ascii_lowercase()),
            "name": self.name,
            "id": id,
            "version": VERSION,
            "metadata": self.metadata,
        });
        match verb {
            Verb::Ping => {}
            Verb::Info => {
                answer["description"] = self.description.into();
                answer["endpoints"] = self.endpoints.iter().map(|endpoint| endpoint.info()).collect();
            }
            Verb::Stats => {
                answer["started"] = started.into();
                answer["endpoints"] = self.endpoints.iter().map(|endpoint| endpoint.stats()).collect();
            }
        }
        answer
    }
}
