//! Where a page ends: where a commit does.

use std::collections::VecDeque;

use es_core::RecordedEvent;

/// How many of the events belong to commits that are known whole, and up to where that is, when every wanted event up to
/// `reached` is among them.
pub(super) fn cut(events: &VecDeque<RecordedEvent>, reached: u64) -> (usize, u64) {
    let whole = events.partition_point(|event| event.meta.commit_last <= reached);
    let scanned_to = events.get(whole).map_or(reached, |rest| rest.meta.commit_first - 1);
    (whole, scanned_to)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use es_core::{AggregateId, EventMeta, StreamKey};

    use super::*;

    /// Events at these positions, each with the first and last one of its commit.
    fn events(positions: &[(u64, u64, u64)]) -> VecDeque<RecordedEvent> {
        let stream = Arc::new(StreamKey::new(None, "bank.v1.Account", AggregateId::new("a").unwrap()));
        let event = |&(position, first, last): &(u64, u64, u64)| {
            let mut meta = EventMeta::new(stream.clone(), position, position, "bank.v1.Opened".into());
            (meta.commit_first, meta.commit_last) = (first, last);
            RecordedEvent { meta, payload: Default::default() }
        };
        positions.iter().map(event).collect()
    }

    #[test]
    fn a_page_ends_where_a_commit_does() {
        let log = events(&[(4, 4, 4), (5, 5, 7), (6, 5, 7)]);
        assert_eq!(cut(&log, 6), (1, 4), "the third event of a commit is on its way");
        assert_eq!(cut(&log, 7), (3, 7), "the third was not wanted");
        assert_eq!(cut(&log, 5), (1, 4));
    }

    #[test]
    fn without_wanted_events_everything_that_was_looked_at_counts() {
        assert_eq!(cut(&events(&[]), 9), (0, 9));
    }

    #[test]
    fn a_commit_that_is_not_whole_yet_is_waited_for() {
        assert_eq!(cut(&events(&[(8, 8, 9)]), 8), (0, 7));
    }
}
