//! Events in a second, of late.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

const SLOT: Duration = Duration::from_secs(1);
const SLOTS: usize = 10;

/// Counts of the last seconds, one for each in which there was something to count.
#[derive(Debug, Default)]
pub(super) struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    pub(super) fn count(&mut self, events: u64, now: Instant) {
        match self.0.back_mut() {
            Some((begun, count)) if now.duration_since(*begun) < SLOT => *count += events,
            _ => self.0.push_back((now, events)),
        }
        while self.0.len() > SLOTS {
            self.0.pop_front();
        }
    }

    pub(super) fn per_second(&self, now: Instant) -> f64 {
        let window = SLOT * 10;
        let recent = self.0.iter().filter(|(begun, _)| now.duration_since(*begun) < window);
        let (events, oldest) = recent.fold((0, now), |(sum, oldest), (begun, count)| (sum + count, oldest.min(*begun)));
        // Of a second that has just begun nobody knows yet how much it will bring.
        let seconds = now.duration_since(oldest).max(SLOT).as_secs_f64();
        events as f64 / seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_ten_seconds() {
        let (mut rate, begun) = (Rate::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert!(rate.per_second(begun) < f64::EPSILON);
        for second in 0..100 {
            rate.count(20, at(second));
            rate.count(30, at(second));
        }
        assert!((rate.per_second(at(100)) - 50.0).abs() < 6.0, "{}", rate.per_second(at(100)));
        assert!(rate.per_second(at(120)) < f64::EPSILON);
    }
}
