//! What was published and is not acknowledged yet.

use std::{collections::VecDeque, mem};

use es_core::{EventMeta, Timestamp};

/// Messages under way at once, at most. More gain nothing, and are sent again when the connection is lost.
const MESSAGES: usize = 1_024;
/// Bytes under way at once, at most; a single larger message still goes.
const BYTES: usize = 8 << 20;

/// Messages in order of their positions; acknowledged from the front.
#[derive(Debug)]
pub(super) struct Window {
    sent: VecDeque<Sent>,
    bytes: usize,
    /// Everything up to this position is acknowledged.
    acked: u64,
    /// Acknowledged since it was last asked.
    fresh: (u64, Option<Timestamp>),
}

#[derive(Debug)]
struct Sent {
    bytes: usize,
    recorded_at: Timestamp,
    acked: bool,
}

impl Window {
    pub(super) fn after(position: u64) -> Self {
        Self { sent: VecDeque::new(), bytes: 0, acked: position, fresh: (0, None) }
    }

    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.sent.is_empty() || self.sent.len() < MESSAGES && self.bytes + bytes <= BYTES
    }

    /// Notes a message that was sent; its position is the one after the last.
    pub(super) fn sent(&mut self, meta: &EventMeta, bytes: usize) {
        self.bytes += bytes;
        self.sent.push_back(Sent { bytes, recorded_at: meta.recorded_at, acked: false });
    }

    /// Notes the acknowledgement of a position.
    pub(super) fn acked(&mut self, position: u64) {
        let at = position.checked_sub(self.acked + 1).and_then(|at| usize::try_from(at).ok());
        if let Some(sent) = at.and_then(|at| self.sent.get_mut(at)) {
            sent.acked = true;
        }
        while let Some(Sent { bytes, recorded_at, acked: true }) = self.sent.front() {
            self.acked += 1;
            self.bytes -= bytes;
            self.fresh = (self.fresh.0 + 1, Some(*recorded_at));
            self.sent.pop_front();
        }
    }

    /// The position of the last message sent.
    pub(super) fn last(&self) -> u64 {
        self.acked + self.sent.len() as u64
    }

    /// Everything up to this position is acknowledged.
    pub(super) fn acked_to(&self) -> u64 {
        self.acked
    }

    pub(super) fn outstanding(&self) -> usize {
        self.sent.len()
    }

    /// How many were acknowledged since this was last asked, and when the last of them was recorded.
    pub(super) fn take_fresh(&mut self) -> (u64, Option<Timestamp>) {
        mem::take(&mut self.fresh)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use es_core::{AggregateId, StreamKey};

    use super::*;

    fn send(window: &mut Window, bytes: usize) {
        let stream = Arc::new(StreamKey::new(None, "a", AggregateId::new("a").unwrap()));
        window.sent(&EventMeta::new(stream, 1, window.last() + 1, "a".into()), bytes);
    }

    #[test]
    fn what_is_acknowledged_out_of_order_counts_when_what_is_before_it_is() {
        let mut window = Window::after(7);
        (0..3).for_each(|_| send(&mut window, 1));
        assert_eq!((window.acked_to(), window.last()), (7, 10));
        window.acked(9);
        window.acked(9);
        assert_eq!((window.acked_to(), window.outstanding()), (7, 3));
        window.acked(8);
        assert_eq!((window.acked_to(), window.outstanding()), (9, 1));
        for foreign in [0, 1, 9, 11, u64::MAX] {
            window.acked(foreign);
        }
        assert_eq!(window.acked_to(), 9);
        assert_eq!(window.take_fresh().0, 2);
        assert_eq!(window.take_fresh(), (0, None));
    }

    #[test]
    fn it_is_full_by_number_and_by_bytes_and_never_for_the_first() {
        let mut window = Window::after(0);
        assert!(window.has_room(2 * BYTES));
        send(&mut window, 2 * BYTES);
        assert!(!window.has_room(0));
        window.acked(1);
        (0..MESSAGES).for_each(|_| send(&mut window, 1));
        assert!(!window.has_room(1));
        window.acked(2);
        assert!(window.has_room(1) && !window.has_room(BYTES));
    }
}
