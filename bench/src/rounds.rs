//! Rounds: both sides by turns, so that what the disk does between two rounds concerns both alike.

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{runtime::Runtime, task::JoinSet};

/// Whatever goes wrong ends the program.
pub(crate) type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// How much one side does in one turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Budget {
    /// As much as it can in this time, in each of its two turns.
    Time(Duration),
    /// So many calls, or one pass over the data where that is what is measured.
    Calls(u32),
}

impl Budget {
    /// For passes over data: they end where the data ends.
    pub(crate) fn pass(self) -> Self {
        match self {
            Self::Time(_) => self,
            Self::Calls(_) => Self::Calls(u32::MAX),
        }
    }

    /// Whether a pass over data starts again at its end.
    pub(crate) fn repeats(self) -> bool {
        matches!(self, Self::Time(_))
    }
}

/// Where rows are measured, and at which size.
pub(crate) struct Lab {
    pub(crate) runtime: Runtime,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) budget: Budget,
    /// Events of the large files.
    pub(crate) events: u64,
    /// Events of one stream that is long.
    pub(crate) long: u64,
}

impl Lab {
    /// The path of a database; what an earlier round left there is deleted.
    pub(crate) fn fresh(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name).with_extension("db");
        remove(&path)?;
        Ok(path)
    }

    /// Runs a future as servers run theirs: as a task on a worker of the runtime.
    pub(crate) fn run<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        self.runtime.block_on(async { tokio::spawn(work).await? })
    }
}

/// Deletes a database with its log.
pub(crate) fn remove(path: &Path) -> Result<()> {
    for suffix in ["db", "db-wal", "db-shm"] {
        match std::fs::remove_file(path.with_extension(suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// What a row is to reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// Our rate, as a share of the baseline's.
    Share(f64),
    /// Our cost, as a multiple of the baseline's.
    Cost(f64),
    /// 99 of 100 of our calls take no longer.
    Within(Duration),
    /// Told for comparison.
    Told,
}

/// One line of the table.
pub(crate) trait Row {
    /// What it is called on the command line.
    fn name(&self) -> String;
    fn target(&self) -> Target;

    /// What is counted.
    fn unit(&self) -> &'static str {
        "events"
    }

    /// What the second side is.
    fn baseline(&self) -> &'static str {
        "by hand"
    }

    /// Whether it matters how long a single call takes.
    fn has_latency(&self) -> bool {
        true
    }

    /// Makes the files both sides work on.
    fn prepare(&mut self, _lab: &Lab) -> Result<()> {
        Ok(())
    }

    fn ours(&mut self, lab: &Lab) -> Result<Sample>;
    fn by_hand(&mut self, lab: &Lab) -> Result<Sample>;

    /// What else there is to say, after the last round.
    fn notes(&mut self, _lab: &Lab) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Deletes its files.
    fn clean_up(&mut self, _lab: &Lab) -> Result<()> {
        Ok(())
    }
}

/// What one side did in one round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) operations: u64,
    pub(crate) elapsed: Duration,
    pub(crate) latencies: Vec<Duration>,
}

impl Sample {
    pub(crate) fn rate(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64()
    }

    /// Adds what the same side did later in the same round.
    fn join(&mut self, later: Self) {
        self.operations += later.operations;
        self.elapsed += later.elapsed;
        self.latencies.extend(later.latencies);
    }

    fn add(&mut self, turns: Turns) {
        self.operations += turns.operations;
        self.latencies.extend(turns.latencies);
    }
}

/// The turns of one caller: a call at a time until the round is over.
pub(crate) struct Turns {
    gate: Arc<Gate>,
    begun: Option<Instant>,
    calls: u64,
    operations: u64,
    latencies: Vec<Duration>,
}

struct Gate {
    deadline: Option<Instant>,
    calls: AtomicI64,
}

impl Turns {
    fn gate(budget: Budget) -> Arc<Gate> {
        Arc::new(match budget {
            Budget::Time(time) => Gate { deadline: Some(Instant::now() + time), calls: AtomicI64::new(0) },
            Budget::Calls(calls) => Gate { deadline: None, calls: AtomicI64::new(calls.into()) },
        })
    }

    fn new(gate: Arc<Gate>) -> Self {
        Self { gate, begun: None, calls: 0, operations: 0, latencies: Vec::new() }
    }

    /// Ends the last call, and begins the next unless the round is over: its number, from 1.
    pub(crate) fn next(&mut self) -> Option<u64> {
        let now = Instant::now();
        if let Some(begun) = self.begun.take() {
            self.latencies.push(now - begun);
        }
        let go_on = match self.gate.deadline {
            Some(deadline) => now < deadline,
            None => self.gate.calls.fetch_sub(1, Ordering::Relaxed) > 0,
        };
        if !go_on {
            return None;
        }
        self.begun = Some(now);
        self.calls += 1;
        self.operations += 1;
        Some(self.calls)
    }

    /// Has the time of this call count from here.
    pub(crate) fn time_from_here(&mut self) {
        self.begun = Some(Instant::now());
    }

    /// Has the time of this call count from then.
    pub(crate) fn time_from(&mut self, begun: Instant) {
        self.begun = Some(begun);
    }

    /// Says that the last call handled so many events, not one.
    pub(crate) fn handled(&mut self, events: u64) {
        self.operations += events;
        self.operations -= 1;
    }
}

/// Runs callers as tasks of the current runtime until the budget is used up.
pub(crate) async fn drive<F>(callers: u64, budget: Budget, mut call: impl FnMut(u64, Turns) -> F) -> Result<Sample>
where
    F: Future<Output = Result<Turns>> + Send + 'static,
{
    let gate = Turns::gate(budget);
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        tasks.spawn(call(caller, Turns::new(Arc::clone(&gate))));
    }
    let mut sample = Sample::default();
    let mut all = Vec::new();
    while let Some(turns) = tasks.join_next().await {
        all.push(turns??);
    }
    sample.elapsed = begun.elapsed();
    all.into_iter().for_each(|turns| sample.add(turns));
    Ok(sample)
}

/// Has all callers do something at once, before a round begins.
pub(crate) async fn warm_up<F>(callers: u64, call: impl FnMut(u64) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let mut tasks: JoinSet<_> = (0..callers).map(call).collect();
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// Runs one caller on this very thread until the budget is used up.
pub(crate) fn drive_here(budget: Budget, call: impl FnOnce(&mut Turns) -> Result<()>) -> Result<Sample> {
    let mut turns = Turns::new(Turns::gate(budget));
    let begun = Instant::now();
    call(&mut turns)?;
    let mut sample = Sample { elapsed: begun.elapsed(), ..Sample::default() };
    sample.add(turns);
    Ok(sample)
}

/// What all rounds of a row came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) ours: Vec<Sample>,
    pub(crate) by_hand: Vec<Sample>,
    pub(crate) notes: Vec<String>,
}

/// Measures a row: one turn of each side that does not count, then rounds of two turns each. A round begins and ends
/// with one side, the next with the other.
pub(crate) fn measure(row: &mut dyn Row, lab: &Lab, rounds: u32) -> Result<Measured> {
    row.prepare(lab)?;
    if lab.budget.repeats() {
        row.ours(lab)?;
        row.by_hand(lab)?;
    }
    let mut measured = Measured::default();
    for round in 0..rounds {
        let (mut ours, mut by_hand) = (Sample::default(), Sample::default());
        // A disk that gets steadily slower or faster meanwhile does not favour a side that is in the middle.
        let turns = if round % 2 == 0 { [true, false, false, true] } else { [false, true, true, false] };
        for is_ours in turns {
            match is_ours {
                true => ours.join(row.ours(lab)?),
                false => by_hand.join(row.by_hand(lab)?),
            }
        }
        measured.ours.push(ours);
        measured.by_hand.push(by_hand);
    }
    measured.notes = row.notes(lab)?;
    row.clean_up(lab)?;
    Ok(measured)
}

impl Measured {
    /// Our rate over the baseline's of the same round; the median round, and the extremes.
    pub(crate) fn share(&self) -> [f64; 3] {
        let mut shares: Vec<_> =
            self.ours.iter().zip(&self.by_hand).map(|(ours, by_hand)| ours.rate() / by_hand.rate()).collect();
        shares.sort_by(f64::total_cmp);
        [median(&shares), shares[0], shares[shares.len() - 1]]
    }
}

/// The median of a side's rates.
pub(crate) fn median_rate(samples: &[Sample]) -> f64 {
    let mut rates: Vec<_> = samples.iter().map(Sample::rate).collect();
    rates.sort_by(f64::total_cmp);
    median(&rates)
}

/// The latency that this share of a side's calls stayed below.
pub(crate) fn percentile(samples: &[Sample], share: f64) -> Duration {
    let mut latencies: Vec<_> = samples.iter().flat_map(|sample| &sample.latencies).copied().collect();
    latencies.sort_unstable();
    let at = (latencies.len() as f64 * share) as usize;
    latencies.get(at.min(latencies.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], sorted[middle]) } else { sorted[middle] }
}
