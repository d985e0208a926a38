//! A server that has started.

use std::{sync::Arc, time::Duration};

use es_core::{Error, Result, Route};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::{
    NatsServer,
    session::{Ended, Session, Work},
};

/// Before another connection is made in place of one that ended for good.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How a server does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServingState {
    /// Requests are answered, as soon as there is a connection.
    Serving,
    /// Its connection has ended for good, and it is making another; why the last attempt failed.
    Interrupted(String),
    /// Some or all requests no longer reach it, and will not until something is changed.
    Failed(String),
    /// It was shut down.
    Stopped,
}

/// A server that answers requests until it is shut down or dropped.
#[derive(Debug)]
#[must_use = "a server that is dropped stops at once"]
pub struct Serving {
    stop: watch::Sender<bool>,
    state: watch::Receiver<ServingState>,
    running: JoinHandle<()>,
}

impl Serving {
    /// How it does.
    pub fn state(&self) -> ServingState {
        self.state.borrow().clone()
    }

    /// Waits until it no longer serves as it should and does not help itself.
    ///
    /// # Errors
    /// [`Refused`](Error::Refused) with the reason.
    pub async fn wait(&self) -> Result<()> {
        let mut state = self.state.clone();
        let ended = |state: &ServingState| matches!(state, ServingState::Failed(_) | ServingState::Stopped);
        match state.wait_for(ended).await.as_deref() {
            Ok(ServingState::Failed(why)) => Err(Error::Refused { by: "the NATS server".into(), why: why.clone() }),
            _ => Ok(()),
        }
    }

    /// Stops: takes in no more requests, answers those that have come, and sees the answers on their way:
    /// for 5 s at most, and not at all while there is no connection. Their callers then have no answer, and send again; so do
    /// those whose request NATS handed over at the very moment in which this left.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        // It does not panic, and only dropping this aborts it.
        let _ = (&mut self.running).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.running.abort();
    }
}

pub(super) async fn start(
    server: NatsServer,
    routes: Vec<Route>,
    work: impl FnOnce(watch::Receiver<bool>) -> Work,
) -> Result<Serving> {
    let session = Session::open(&server, &routes).await?;
    let stop = watch::Sender::new(false);
    let (state, watching) = watch::channel(ServingState::Serving);
    let run = Run { server, routes, work: work(stop.subscribe()), state: Arc::new(state) };
    Ok(Serving { stop, state: watching, running: tokio::spawn(run.serve(session)) })
}

/// A server at work, over one connection after the other.
struct Run {
    server: NatsServer,
    routes: Vec<Route>,
    work: Work,
    state: Arc<watch::Sender<ServingState>>,
}

impl Run {
    async fn serve(self, first: Session) {
        let mut session = first;
        loop {
            match session.run(&self.work, |why| self.fail(why)).await {
                Ended::Told => break,
                Ended::Lost => {}
                Ended::Refused(error) => return self.fail(error.to_string()),
            }
            let lost = "the connection to NATS ended for good; making another";
            tracing::error!("{lost}");
            self.state.send_replace(ServingState::Interrupted(lost.into()));
            let mut stop = self.work.stop.clone();
            let again = tokio::select! {
                again = self.again() => again,
                _ = stop.changed() => break,
            };
            match again {
                Some(again) => session = again,
                None => return,
            }
        }
        self.state.send_replace(ServingState::Stopped);
    }

    /// Joins again, when that is possible; `None` when it never will be.
    async fn again(&self) -> Option<Session> {
        let mut pause = PAUSE;
        loop {
            sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            match Session::open(&self.server, &self.routes).await {
                Ok(session) => {
                    tracing::info!("serving again");
                    self.state.send_replace(ServingState::Serving);
                    return Some(session);
                }
                Err(error @ Error::Refused { .. }) => {
                    self.fail(error.to_string());
                    return None;
                }
                Err(error) => {
                    tracing::warn!(%error, "not yet serving again");
                    self.state.send_replace(ServingState::Interrupted(error.to_string()));
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    fn fail(&self, why: String) {
        tracing::error!(%why, "a NATS server no longer serves");
        self.state.send_replace(ServingState::Failed(why));
    }
}
