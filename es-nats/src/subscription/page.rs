//! Where a page ends: where a commit does.

use std::collections::VecDeque;

use es_core::RecordedEvent;

/// How many of the events make a page of about so many, and up to where it is: commits that are known whole, when every
/// wanted event up to `reached` is among the events.
pub(super) fn cut(events: &VecDeque<RecordedEvent>, reached: u64, limit: usize) -> (usize, u64) {
    let whole = events.partition_point(|event| event.meta.commit_last <= reached);
    if limit < whole {
        let end = events[limit.saturating_sub(1)].meta.commit_last;
        return (events.partition_point(|event| event.meta.position <= end), end);
    }
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
        assert_eq!(cut(&log, 6, 10), (1, 4), "the third event of a commit is on its way");
        assert_eq!(cut(&log, 7, 10), (3, 7), "the third was not wanted");
        assert_eq!(cut(&log, 5, 10), (1, 4));
    }

    #[test]
    fn a_page_is_about_as_long_as_was_asked_for() {
        let log = events(&[(4, 4, 4), (5, 5, 7), (7, 5, 7), (8, 8, 8), (11, 11, 11)]);
        assert_eq!(cut(&log, 12, 1), (1, 4));
        assert_eq!(cut(&log, 12, 2), (3, 7), "a commit is not cut");
        assert_eq!(cut(&log, 12, 4), (4, 8));
        assert_eq!(cut(&log, 12, 5), (5, 12));
        assert_eq!(cut(&log, 10, 4), (4, 10));
    }

    #[test]
    fn without_wanted_events_everything_that_was_looked_at_counts() {
        assert_eq!(cut(&events(&[]), 9, 10), (0, 9));
    }

    #[test]
    fn a_commit_that_is_not_whole_yet_is_waited_for() {
        assert_eq!(cut(&events(&[(8, 8, 9)]), 8, 10), (0, 7));
    }
}
