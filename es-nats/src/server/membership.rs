//! Who else serves the same subjects, and from which store.

use std::{collections::HashMap, time::Duration};

use async_nats::StatusCode;
use es_core::{Error, Result, StoreIdentity};
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use crate::{Nats, subject};

const STORE: &str = "store-id";
const EPOCH: &str = "store-epoch";

/// After so long without another answer, there is none.
const QUIET: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(1);

/// For how long the one who stays waits until the others have left.
const LEAVING: Duration = Duration::from_millis(1500);

/// Between two looks at who else serves: a network that was in two parts may have become one.
const LOOK: Duration = Duration::from_secs(60);

/// Someone who starts to serve sees us and leaves by himself, within this time.
const STARTING: Duration = Duration::from_secs(5);

/// A service as it describes itself.
#[derive(Debug, Deserialize)]
struct Member {
    id: String,
    metadata: Option<HashMap<String, String>>,
    endpoints: Vec<Subject>,
}

#[derive(Debug, Deserialize)]
struct Subject {
    subject: String,
}

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
            match rivals.iter().find(|rival| rival.key() <= key(&ours) || Instant::now() >= until) {
                Some(rival) => return Err(self.refusal(rival)),
                None if rivals.is_empty() => return Ok(()),
                None => sleep(QUIET).await,
            }
        }
    }

    /// Why this one, which has served already, has to leave, if it has to.
    async fn must_leave(&self, nats: &Nats) -> Option<Error> {
        let ours = announcement(&self.store);
        for last in [false, true] {
            // Who can't be asked is asked the next time.
            let rivals = self.rivals(nats).await.unwrap_or_default();
            let rival = rivals.iter().find(|rival| rival.key() < key(&ours)).or(rivals.first())?;
            tracing::error!(service = self.name, rival = rival.id, "the same subjects are served from another store");
            if last {
                return (rival.key() < key(&ours)).then(|| self.refusal(rival));
            }
            sleep(STARTING).await;
        }
        None
    }

    /// Members that serve one of our subjects from another store.
    async fn rivals(&self, nats: &Nats) -> Result<Vec<Member>> {
        let ours = announcement(&self.store);
        let mut members = members(nats, &self.name).await?;
        members.retain(|member| {
            member.key() != key(&ours)
                && member
                    .endpoints
                    .iter()
                    .any(|theirs| self.subjects.iter().any(|ours| subject::overlap(ours, &theirs.subject)))
        });
        Ok(members)
    }

    fn refusal(&self, rival: &Member) -> Error {
        let (store, epoch) = rival.key();
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

/// Looks again and again, also each time a connection is made, and ends when this one has to leave: of two stores that are
/// both served already, the lesser one stays.
pub(super) async fn until_refused(candidates: &[Candidate], nats: &Nats) -> Error {
    let mut told = nats.link().watch();
    let (mut connects, mut pause) = (told.borrow_and_update().connects, LOOK);
    loop {
        // A connection that is made is told of; one that ended for good ends the server by itself.
        let another = async { told.wait_for(|told| told.connects != connects).await.map(|told| told.connects) };
        (connects, pause) = match timeout(pause.mul_f64(0.5 + fastrand::f64()), another).await {
            // The others may be connected anew a little later, and are not seen by the first look.
            Ok(Ok(connects)) => (connects, STARTING),
            _ => (connects, (pause * 2).min(LOOK)),
        };
        for candidate in candidates {
            if let Some(refusal) = candidate.must_leave(nats).await {
                return refusal;
            }
        }
    }
}

impl Member {
    fn key(&self) -> (&str, &str) {
        self.metadata.as_ref().map_or(("", ""), key)
    }
}

fn key(metadata: &HashMap<String, String>) -> (&str, &str) {
    let get = |key| metadata.get(key).map_or("", String::as_str);
    (get(STORE), get(EPOCH))
}

/// All members of a service, as they describe themselves.
async fn members(nats: &Nats, name: &str) -> Result<Vec<Member>> {
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
