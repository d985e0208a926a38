//! The table, a line as soon as it is measured.

use std::time::Duration;

use crate::rounds::{Measured, Row, Sample, Target, median_rate, percentile};

/// Prints the head of the table.
pub(crate) fn head() {
    println!(
        "{:<18} {:>9} {:>9} {:>8} {:>13} {:>8} {:<5}  {:>17}  {:>17}",
        "row", "ours", "by hand", "ratio", "min..max", "target", "", "p50/p99 ours", "p50/p99 by hand"
    );
}

/// Prints what a row came to, and says whether it reached its target.
pub(crate) fn line(row: &dyn Row, measured: &Measured) -> bool {
    let Measured { ours, by_hand, notes } = measured;
    let [mut ratio, mut low, mut high] = measured.share();
    let (target, reached) = match row.target() {
        Target::Share(least) => (format!(">= {least:.2}"), Some(ratio >= least)),
        Target::Cost(most) => {
            (ratio, low, high) = (1.0 / ratio, 1.0 / high, 1.0 / low);
            (format!("<= {most:.2}"), Some(ratio <= most))
        }
        Target::Within(most) => (format!("<={}", time(most)), Some(percentile(ours, 0.99) <= most)),
        Target::Told => ("-".into(), None),
    };
    let latencies = |samples: &[Sample]| match row.has_latency() {
        true => format!("{} / {}", time(percentile(samples, 0.50)), time(percentile(samples, 0.99))),
        false => "-".into(),
    };
    println!(
        "{:<18} {:>9} {:>9} {:>8} {:>13} {:>8} {:<5}  {:>17}  {:>17}",
        row.name(),
        rate(median_rate(ours)),
        rate(median_rate(by_hand)),
        format!("{ratio:.2}"),
        format!("{low:.2}..{high:.2}"),
        target,
        reached.map_or("", |reached| if reached { "ok" } else { "below" }),
        latencies(ours),
        latencies(by_hand),
    );
    if row.baseline() != "by hand" {
        println!("{:<18} in {}; not by hand but {}", "", row.unit(), row.baseline());
    }
    for note in notes {
        println!("{:<18} {note}", "");
    }
    reached != Some(false)
}

/// So many a second.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        1e6.. => format!("{:.2}M/s", per_second / 1e6),
        1e4.. => format!("{:.1}k/s", per_second / 1e3),
        1e3.. => format!("{:.2}k/s", per_second / 1e3),
        _ => format!("{per_second:.0}/s"),
    }
}

fn time(latency: Duration) -> String {
    let micros = latency.as_secs_f64() * 1e6;
    match micros {
        1e3.. => format!("{:.1}ms", micros / 1e3),
        10.0.. => format!("{micros:.0}us"),
        _ => format!("{micros:.1}us"),
    }
}
