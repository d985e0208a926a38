//! Short blocking work on the caller's own thread: three times as fast as a hop to another.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::oneshot,
};

/// Runs blocking work right here. On a worker of a multi-thread runtime the other tasks of the worker move on first.
///
/// Only workers are told: elsewhere nobody waits for this thread, and inside a `LocalSet`, which never runs on a
/// worker, `block_in_place` would panic.
pub(crate) fn here<T>(work: impl FnOnce() -> T) -> T {
    let multi_thread =
        || Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if tokio::runtime::worker_index().is_some() && multi_thread() { tokio::task::block_in_place(work) } else { work() }
}

/// Waits for a future that another thread completes, without a runtime or inside one.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    here(|| {
        // A task that has used up its turn is asked by tokio's primitives to yield to its runtime, which waits here.
        let mut future = pin!(tokio::task::unconstrained(future));
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(output) => return output,
                Poll::Pending => thread::park(),
            }
        }
    })
}

/// Waits so long; also outside a runtime, and on one without timers.
pub(crate) async fn pause(duration: Duration) {
    let (over, wait) = oneshot::channel::<()>();
    let sleep = move || {
        thread::sleep(duration);
        drop(over);
    };
    match thread::Builder::new().name("es-pause".into()).spawn(sleep) {
        // Ends when the sender is dropped.
        Ok(_) => drop(wait.await),
        Err(_) => here(|| thread::sleep(duration)),
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_has_used_up_its_turn_can_wait() {
        let single = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        single.block_on(async {
            let room = tokio::sync::Semaphore::new(1);
            for _ in 0..1_000 {
                drop(wait(room.acquire()).unwrap());
            }
        });
    }

    #[test]
    fn work_runs_wherever_it_is_called() {
        assert_eq!(here(|| 1), 1, "without a runtime");
        let runtime = |builder: &mut tokio::runtime::Builder| builder.enable_all().build().unwrap();
        let single = runtime(&mut tokio::runtime::Builder::new_current_thread());
        assert_eq!(single.block_on(async { here(|| 2) }), 2);
        let multi = runtime(tokio::runtime::Builder::new_multi_thread().worker_threads(2));
        assert_eq!(multi.block_on(async { here(|| 3) }), 3);
        assert_eq!(multi.block_on(async { tokio::spawn(async { here(|| 4) }).await.unwrap() }), 4);
        let local = tokio::task::LocalSet::new();
        let inside = local.run_until(async { tokio::task::spawn_local(async { here(|| 5) }).await.unwrap() });
        assert_eq!(multi.block_on(inside), 5, "in a LocalSet of a multi-thread runtime");
    }

    #[test]
    fn another_threads_answer_can_be_waited_for_anywhere() {
        let answer = || {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            thread::spawn(move || sender.send(7));
            wait(receiver).unwrap()
        };
        assert_eq!(answer(), 7);
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async { assert_eq!(answer(), 7) });
    }
}
