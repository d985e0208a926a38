//! Long blocking work: on a thread of its own, so that no task waits behind it.

use es_core::Error;
use tokio::sync::oneshot;

/// Asked by the work from time to time: an error once nobody waits for its result any more.
pub(crate) type Stop<'s> = &'s dyn Fn() -> Result<(), Error>;

/// Runs work on a thread of its own. Dropping the future ends the work at the next time it asks.
pub(crate) async fn run<T, F>(what: String, work: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce(Stop<'_>) -> Result<T, Error> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let run = move || {
        let result = work(&|| if reply.is_closed() { Err(Error::ShuttingDown) } else { Ok(()) });
        let _ = reply.send(result);
    };
    let failed = |what: &str, source| Error::Io { what: what.to_owned(), source };
    std::thread::Builder::new()
        .name("es-sqlite long".into())
        .spawn(run)
        .map_err(|error| failed("starting a thread", error.into()))?;
    answer.await.map_err(|_| failed(&what, "its thread panicked".into()))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, time::Duration};

    #[tokio::test]
    async fn work_that_nobody_waits_for_ends() {
        let (ended, told) = mpsc::channel();
        let work = run("waiting".into(), move |stop| -> Result<(), Error> {
            while stop().is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
            ended.send(()).unwrap();
            Ok(())
        });
        assert!(tokio::time::timeout(Duration::from_millis(20), work).await.is_err());
        told.recv_timeout(Duration::from_secs(10)).unwrap();
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error() {
        let error = run("counting".into(), |_| -> Result<(), Error> { panic!("a test's panic") }).await.unwrap_err();
        assert_eq!(error.to_string(), "counting failed");
    }
}
