//! One subject of one method, as it is described to those who ask, and what has come of its requests.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use es_core::MethodInfo;
use serde_json::{Value, json};

/// A subject that is served.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) name: String,
    pub(super) subject: String,
    pub(super) queue_group: String,
    pub(super) method: &'static MethodInfo,
    pub(super) counts: Counts,
}

impl Endpoint {
    /// As `$SRV.INFO` shows it.
    pub(super) fn info(&self) -> Value {
        let MethodInfo { input, output, .. } = self.method;
        json!({
            "name": self.name,
            "subject": self.subject,
            "queue_group": self.queue_group,
            "metadata": { "input": input, "output": output },
        })
    }

    /// As `$SRV.STATS` shows it.
    pub(super) fn stats(&self) -> Value {
        let Counts { requests, errors, nanos, last_error } = &self.counts;
        let (requests, nanos) = (requests.load(Ordering::Relaxed), nanos.load(Ordering::Relaxed));
        json!({
            "name": self.name,
            "subject": self.subject,
            "queue_group": self.queue_group,
            "num_requests": requests,
            "num_errors": errors.load(Ordering::Relaxed),
            "last_error": *last_error.lock().unwrap_or_else(PoisonError::into_inner),
            "processing_time": nanos,
            "average_processing_time": nanos.checked_div(requests).unwrap_or_default(),
        })
    }
}

/// What has come of the requests of an endpoint.
#[derive(Debug, Default)]
pub(super) struct Counts {
    requests: AtomicU64,
    errors: AtomicU64,
    nanos: AtomicU64,
    last_error: Mutex<String>,
}

impl Counts {
    /// Counts a request that was answered after so long.
    pub(super) fn answered(&self, after: Duration) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Counts an answer that is neither what was asked for nor a refusal for which the caller is to do something else.
    pub(super) fn failed(&self, code: &str) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        code.clone_into(&mut self.last_error.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
