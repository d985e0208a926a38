//! Memory of futures that is used again.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use es_core::store::BoxFuture;
use tokio_util::sync::ReusableBoxFuture;

/// Kept for later, at most.
const KEPT: usize = 1_024;

/// Runs futures of one size in memory that is used again: a future of a call is larger than what an allocator gives out
/// without a search.
pub(crate) struct Pool<T>(Mutex<Vec<ReusableBoxFuture<'static, T>>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Send + 'static> Pool<T> {
    /// The future, boxed.
    pub(crate) fn run(self: &Arc<Self>, future: impl Future<Output = T> + Send + 'static) -> BoxFuture<'static, T> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let future = match kept {
            Some(mut room) => {
                room.set(future);
                room
            }
            None => ReusableBoxFuture::new(future),
        };
        Box::pin(Running { future: Some(future), pool: Arc::clone(self) })
    }
}

struct Running<T: Send + 'static> {
    future: Option<ReusableBoxFuture<'static, T>>,
    pool: Arc<Pool<T>>,
}

impl<T: Send + 'static> Future for Running<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(future) = &mut self.future else { panic!("a future is not polled after it is ready") };
        let output = ready!(future.poll(cx));
        // One that is dropped before is not used again: what it holds has to go.
        if let Some(done) = self.future.take() {
            let mut kept = self.pool.0.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < KEPT {
                kept.push(done);
            }
        }
        Poll::Ready(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_memory_of_a_future_that_is_done_is_used_again() {
        let pool = Arc::new(Pool::default());
        for n in 0..3 {
            assert_eq!(pool.run(async move { n + 1 }).await, n + 1);
            assert_eq!(pool.0.lock().unwrap().len(), 1);
        }
    }

    #[tokio::test]
    async fn what_a_dropped_future_holds_goes_with_it() {
        let (pool, held) = (Arc::new(Pool::default()), Arc::new(()));
        let holding = held.clone();
        drop(pool.run(async move { drop(holding) }));
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
