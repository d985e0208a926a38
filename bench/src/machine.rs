//! What the numbers were measured on.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use crate::rounds::Result;

/// The processor, the memory, the system, and the SQLite that is linked.
pub(crate) fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (processors, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let model =
        processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|pair| pair.1);
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cores} cores ({}), {} GB, Linux {}, SQLite {}",
        model.unwrap_or("unknown"),
        kib.unwrap_or(0_u64) >> 20,
        read("/proc/sys/kernel/osrelease").trim(),
        rusqlite::version(),
    )
}

/// How often a second the disk syncs a page: the limit of one commit after the other.
pub(crate) fn sync_floor(folder: &Path, time: Duration) -> Result<f64> {
    const PAGES: u64 = 1_024;
    let path = folder.join("sync-floor");
    let file = File::create(&path)?;
    let page = [0x5a; 4_096];
    for at in 0..PAGES {
        file.write_all_at(&page, at * 4_096)?;
    }
    file.sync_all()?;
    let begun = Instant::now();
    let mut syncs = 0;
    while begun.elapsed() < time {
        file.write_all_at(&page, syncs % PAGES * 4_096)?;
        file.sync_data()?;
        syncs += 1;
    }
    let rate = syncs as f64 / begun.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(rate)
}
