//! Named steps of an append. With the feature `failpoints` a test can have the process abort at one; without it they
//! are nothing.

/// All steps, in the order in which an append gets to them.
#[cfg(feature = "failpoints")]
pub const STEPS: [&str; 14] = [
    "before BEGIN",
    "after BEGIN",
    "after reading the end",
    "after looking up the streams",
    "after looking up unique keys",
    "after recording the command",
    "after naming a stream",
    "after naming a type",
    "after inserting an event",
    "after taking unique keys",
    "after changing the schedule",
    "before COMMIT",
    "after COMMIT",
    "before the answer",
];

/// An append got to a step.
#[inline(always)]
pub(crate) fn reached(step: &'static str) {
    #[cfg(feature = "failpoints")]
    armed::reached(step);
    #[cfg(not(feature = "failpoints"))]
    let _ = step;
}

#[cfg(feature = "failpoints")]
pub use armed::abort_at;

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::{Mutex, PoisonError};

    /// Where to abort, and how often that step is passed before.
    static ARMED: Mutex<Option<(String, u32)>> = Mutex::new(None);

    /// Has the process abort when an append gets to this step of [`STEPS`](super::STEPS) for the nth time from now.
    ///
    /// # Panics
    /// When there is no such step.
    pub fn abort_at(step: &str, nth: u32) {
        assert!(super::STEPS.contains(&step), "there is no step `{step}`");
        *ARMED.lock().unwrap_or_else(PoisonError::into_inner) = Some((step.to_owned(), nth.max(1)));
    }

    pub(super) fn reached(step: &'static str) {
        debug_assert!(super::STEPS.contains(&step), "`{step}` is not in the list");
        if let Some((armed, left)) = &mut *ARMED.lock().unwrap_or_else(PoisonError::into_inner)
            && armed == step
        {
            *left -= 1;
            if *left == 0 {
                std::process::abort();
            }
        }
    }
}
