//! A random mix of faults.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep};

use super::wire::{End, Faults};
use super::{Switch, Way};

/// How long a fault is there, and how long it is not, in milliseconds.
const FAULTY: Range<u64> = 5..400;
const CALM: Range<u64> = 0..300;

/// Turns faults on and off until it is no longer wanted.
pub(super) async fn run(switch: Switch, mut random: Rng) {
    let ours = switch.faults.borrow().chaos;
    // All of it while the faults are locked, so that nothing comes after the calm.
    let turn = |change: &dyn Fn(&mut Faults)| {
        switch.faults.send_if_modified(|faults| {
            let wanted = faults.chaos == ours;
            if wanted {
                change(faults);
            }
            wanted
        })
    };
    loop {
        let (change, end) = next(&mut random);
        let time = Duration::from_millis(random.u64(FAULTY));
        turn(&|faults| change.apply(faults, time));
        sleep(time).await;
        let wanted = turn(&|faults| {
            // With the fault still there: a connection ends in the middle of a byte by byte message, too.
            end.into_iter().for_each(|end| switch.end(end));
            *faults = Faults::none(ours);
        });
        if !wanted {
            return;
        }
        sleep(Duration::from_millis(random.u64(CALM))).await;
    }
}

/// A fault to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Nothing,
    Refuse,
    Hole(Way),
    Stall(Way),
    Delay(Way, Duration),
    Bytewise(Way),
}

impl Change {
    fn apply(self, faults: &mut Faults, time: Duration) {
        match self {
            Self::Nothing => {}
            Self::Refuse => faults.refuse = true,
            Self::Hole(way) => faults.on(way, |wire| wire.hole = true),
            Self::Stall(way) => faults.on(way, |wire| wire.stalled_until = Some(Instant::now() + time)),
            Self::Delay(way, delay) => faults.on(way, |wire| wire.delay = delay),
            Self::Bytewise(way) => faults.on(way, |wire| wire.bytewise = true),
        }
    }
}

/// What comes next, and how the connections end after it, if they do.
fn next(random: &mut Rng) -> (Change, Option<End>) {
    let way = [Way::ToServer, Way::ToClient, Way::Both][random.usize(..3)];
    let change = match random.u8(..8) {
        0 => Change::Nothing,
        1 => Change::Refuse,
        2 | 3 => Change::Hole(way),
        4 => Change::Stall(way),
        5 => Change::Delay(way, Duration::from_millis(random.u64(1..50))),
        _ => Change::Bytewise(way),
    };
    let end = match random.u8(..6) {
        0 | 1 => Some(End::Reset),
        2 => Some(End::Closed),
        _ => None,
    };
    // Without old connections that are lost, no new ones would be refused.
    let end = if change == Change::Refuse { Some(end.unwrap_or(End::Closed)) } else { end };
    (change, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_what_comes() {
        let plan = |seed| {
            let mut random = Rng::with_seed(seed);
            (0..50).map(|_| next(&mut random)).collect::<Vec<_>>()
        };
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }
}
