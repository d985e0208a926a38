//! The memory of a process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// The memory of this process, looked at again and again.
pub struct Memory {
    before: u64,
    most: Arc<AtomicU64>,
    enough: Arc<AtomicBool>,
}

impl Memory {
    /// Remembers what the process has now, and watches what it has from now on.
    pub fn watch() -> Self {
        let before = resident();
        let (most, enough) = (Arc::new(AtomicU64::new(before)), Arc::new(AtomicBool::new(false)));
        let (noting, told) = (most.clone(), enough.clone());
        thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                noting.fetch_max(resident(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        Self { before, most, enough }
    }

    /// Asserts that the process never had more than so many MiB above what it had.
    pub fn stayed_within(&self, mebibytes: u64, when: &str) {
        let mebi = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (before, most) = (mebi(self.before), mebi(self.most.fetch_max(resident(), Ordering::Relaxed)));
        eprintln!("{when}: {before:.0} MiB before, {most:.0} MiB at most");
        assert!(most - before <= mebibytes as f64, "{when}: {before:.0} MiB became {most:.0} MiB");
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
    }
}

/// The bytes that the process has in memory now.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the system has /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
