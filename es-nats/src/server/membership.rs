//! Who else serves the same subjects, and from which store.

use std::{collections::HashMap, time::Duration};

use async_nats::{StatusCode, service::Info};
use es_core::{Error, Result, StoreIdentity};
use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout};

use crate::{Nats, subject};

const STORE: &str = "store-id";
const EPOCH: &str = "store-epoch";

/// After so long without another answer, there is none.
const QUIET: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(1);

/// For how long the one who stays waits until the others have left.
const LEAVING: Duration = Duration::from_millis(1500);

/// What a server says of its store.
pub(super) fn announcement(store: &StoreIdentity) -> HashMap<String, String> {
    HashMap::from([(STORE.into(), store.id.to_string()), (EPOCH.into(), store.epoch.to_string())])
}

/// A service as it wants to serve.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The name of the NATS service.
    pub(super) name: String,
    pub(super) subjects: Vec<String>,
    pub(super) store: StoreIdentity,
}

impl Candidate {
    /// Before joining: refuses where another store is served.
    pub(super) async fn check_before(&self, nats: &Nats) -> Result<()> {
        match self.rivals(nats).await?.first() {
            Some(rival) => Err(self.refusal(rival)),
            None => Ok(()),
        }
    }

    /// After joining, and before any request is answered: whoever joined at the same time sees us or is seen. The one
    /// with the lesser store stays, once the other has left; one that has served before we came never does.
    pub(super) async fn check_after(&self, nats: &Nats) -> Result<()> {
        let until = Instant::now() + LEAVING;
        loop {
            let rivals = self.rivals(nats).await?;
            let ours = announcement(&self.store);
            match rivals.iter().find(|rival| key(&rival.metadata) <= key(&ours) || Instant::now() >= until) {
                Some(rival) => return Err(self.refusal(rival)),
                None if rivals.is_empty() => return Ok(()),
                None => sleep(QUIET).await,
            }
        }
    }

    /// Members that serve one of our subjects from another store.
    async fn rivals(&self, nats: &Nats) -> Result<Vec<Info>> {
        let ours = announcement(&self.store);
        let mut members = members(nats, &self.name).await?;
        members.retain(|member| {
            key(&member.metadata) != key(&ours)
                && member
                    .endpoints
                    .iter()
                    .any(|theirs| self.subjects.iter().any(|ours| subject::overlap(ours, &theirs.subject)))
        });
        Ok(members)
    }

    fn refusal(&self, rival: &Info) -> Error {
        let (store, epoch) = key(&rival.metadata);
        let theirs =
            if store.is_empty() { "a store it does not name".into() } else { format!("store {store}, epoch {epoch}") };
        Error::Refused {
            by: format!("the members that serve {}", self.name),
            why: format!(
                "member {} works on {theirs}, this one on store {}, epoch {}; two stores behind one subject would split \
                 every aggregate: stop one of them, give each its own tenants(), or use two NATS accounts",
                rival.id, self.store.id, self.store.epoch
            ),
        }
    }
}

fn key(metadata: &HashMap<String, String>) -> (&str, &str) {
    let get = |key| metadata.get(key).map_or("", String::as_str);
    (get(STORE), get(EPOCH))
}

/// All members of a service, as they describe themselves.
async fn members(nats: &Nats, name: &str) -> Result<Vec<Info>> {
    let unavailable =
        |why: String| Error::Unavailable { why: format!("the members of {name} could not be asked: {why}") };
    let client = nats.client();
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| unavailable(error.to_string()))?;
    let asked = client.publish_with_reply(format!("$SRV.INFO.{name}"), inbox, "".into()).await;
    asked.map_err(|error| unavailable(error.to_string()))?;
    let until = Instant::now() + LONGEST;
    let mut members = Vec::new();
    let mut patience = LONGEST;
    loop {
        let left = patience.min(until.saturating_duration_since(Instant::now()));
        match timeout(left, answers.next()).await {
            Ok(Some(answer)) if answer.status == Some(StatusCode::NO_RESPONDERS) => break,
            Ok(Some(answer)) => {
                let member = serde_json::from_slice(&answer.payload);
                members.push(member.map_err(|error| unavailable(format!("one answers with no description: {error}")))?);
                patience = QUIET;
            }
            Ok(None) => return Err(unavailable("the connection has ended".into())),
            Err(_) if members.is_empty() => {
                return Err(unavailable(format!(
                    "no answer to $SRV.INFO within {LONGEST:?}; may this user publish it?"
                )));
            }
            Err(_) => break,
        }
    }
    Ok(members)
}
