//! Measures this workspace against the same work written by hand.
//!
//! ```console
//! $ cargo run --release -p bench                      # every row, some minutes
//! $ cargo run --release -p bench -- --quick           # every row, small: a smoke test
//! $ cargo run --release -p bench -- command load-10   # rows whose names begin so
//! ```
//!
//! A row is measured in rounds. In each round both sides do the same work on the same disk, by turns (ours, by hand, by
//! hand, ours; the other way round in the next), and what counts is the ratio of a round. The disk's mood of the minute
//! cancels out that way, and so does whatever else the machine is doing. Rates of two rows, or of two runs, are not
//! comparable.
//!
//! By hand means: rusqlite, the store's schema and settings, statements that stay prepared, the same columns written
//! and the same checksums verified, and nothing else. See `by_hand`.

mod by_hand;
mod data;
mod machine;
mod other_process;
mod rounds;
mod rows;
#[cfg(test)]
mod smoke;
mod table;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use crate::rounds::{Budget, Lab, Result};

es_core::include_protos!();

const USAGE: &str = "usage: bench [ROW..] [--rounds N] [--quick] [--dir PATH] [--events N] [--ours]

ROW        rows whose names begin so; all of them when none is named
--rounds   rounds of each row (8)
--quick    a smoke test: small files, short rounds, two of them
--dir      where the database files go while they are needed (target/bench)
--events   events of the large files (1,000,000); those of the growth rows have ten times as many
--ours     our side only, without a table: for a profiler";

/// What the command line says.
#[derive(Debug)]
struct Options {
    rows: Vec<String>,
    rounds: Option<u32>,
    quick: bool,
    ours: bool,
    folder: PathBuf,
    events: Option<u64>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let folder = Path::new("target").join("bench");
        let mut options = Self { rows: Vec::new(), rounds: None, quick: false, ours: false, folder, events: None };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value\n\n{USAGE}"));
            match argument.as_str() {
                "--rounds" => options.rounds = Some(value()?.parse()?),
                "--dir" => options.folder = value()?.into(),
                "--events" => options.events = Some(value()?.replace('_', "").parse()?),
                "--quick" => options.quick = true,
                "--ours" => options.ours = true,
                row if !row.starts_with('-') => options.rows.push(row.to_owned()),
                _ => return Err(USAGE.into()),
            }
        }
        if options.rounds == Some(0) || options.events == Some(0) {
            return Err("nothing can be measured without a round, or without events".into());
        }
        Ok(options)
    }

    fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| row.starts_with(wanted.as_str()))
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    if other_process::serve()? {
        return Ok(());
    }
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|first| first == "--memory-of").is_some() {
        let (Some(path), Some(streams)) = (arguments.next(), arguments.next()) else { return Err(USAGE.into()) };
        return rows::report_memory(Path::new(&path), streams.parse()?);
    }
    let options = Options::parse(arguments)?;
    let mut rows: Vec<_> = rows::all().into_iter().filter(|row| options.wants(&row.name())).collect();
    if rows.is_empty() {
        let names: Vec<_> = rows::all().iter().map(|row| row.name()).collect();
        return Err(format!("no row begins so; there are {}", names.join(", ")).into());
    }
    std::fs::create_dir_all(&options.folder)?;
    let (time, events, rounds) = match options.quick {
        true => (Duration::from_millis(50), 20_000, 2),
        false => (Duration::from_millis(600), 1_000_000, 8),
    };
    let lab = Lab {
        runtime: tokio::runtime::Runtime::new()?,
        folder: tempfile::tempdir_in(&options.folder)?,
        budget: Budget::Time(time),
        events: options.events.unwrap_or(events),
        long: 10_000,
    };
    let rounds = options.rounds.unwrap_or(rounds);
    if options.ours {
        for row in &mut rows {
            row.prepare(&lab)?;
            let samples = (0..rounds).map(|_| row.ours(&lab)).collect::<Result<Vec<_>>>()?;
            println!("{}: {} {}", row.name(), table::rate(rounds::median_rate(&samples)), row.unit());
            row.clean_up(&lab)?;
        }
        return Ok(());
    }
    let floor = || machine::sync_floor(lab.folder.path(), time * 2);
    println!("{}", machine::describe());
    println!("{rounds} rounds of two turns of {time:?} a side, {} events in the large files", lab.events);
    println!("disk: {} syncs of a page\n", table::rate(floor()?));
    table::head();
    let mut below = 0;
    for row in &mut rows {
        let measured = rounds::measure(&mut **row, &lab, rounds)?;
        below += u32::from(!table::line(&**row, &measured));
    }
    println!("\ndisk: {} syncs of a page, afterwards", table::rate(floor()?));
    match below {
        0 => println!("every row reaches its target"),
        below => println!("{below} of {} rows are below their target", rows.len()),
    }
    Ok(())
}
