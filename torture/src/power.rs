//! What is left of files when the power goes: what was synced, and of the rest any part, in any order.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Bytes that a disk writes as one.
const SECTOR: usize = 512;

/// Something that was done to a file and not synced yet.
#[derive(Debug)]
enum Pending {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

/// A file as it is on the disk for sure, and what may or may not have got there.
#[derive(Debug, Default)]
struct Shadow {
    durable: Vec<u8>,
    pending: Vec<Pending>,
}

impl Shadow {
    fn apply(&mut self, pending: Pending) {
        match pending {
            Pending::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if self.durable.len() < end {
                    self.durable.resize(end, 0);
                }
                self.durable[offset..end].copy_from_slice(&bytes);
            }
            Pending::Truncate(length) => self.durable.resize(length, 0),
        }
    }

    fn sync(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            self.apply(pending);
        }
    }

    /// Each write that was not synced is there, or not, or the sectors at its start are.
    fn lose(&mut self, lots: &mut fastrand::Rng) {
        for pending in std::mem::take(&mut self.pending) {
            match (lots.u8(..3), pending) {
                (0, _) => {}
                (1, Pending::Write { offset, mut bytes }) => {
                    let sectors = bytes.len() / SECTOR;
                    bytes.truncate(SECTOR * lots.usize(..=sectors));
                    self.apply(Pending::Write { offset, bytes });
                }
                (_, pending) => self.apply(pending),
            }
        }
    }
}

/// All files that are watched.
#[derive(Debug)]
struct Disk {
    files: HashMap<PathBuf, Shadow>,
    lots: fastrand::Rng,
    cut: bool,
}

static DISK: Mutex<Option<Disk>> = Mutex::new(None);

fn disk() -> MutexGuard<'static, Option<Disk>> {
    DISK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches files from now on. What they hold when they are first touched is taken for durable.
pub fn watch(lots: fastrand::Rng) {
    *disk() = Some(Disk { files: HashMap::new(), lots, cut: false });
}

/// Ends the watch, and writes what the power cut left into another folder: each file under its name.
pub fn leave_in(folder: &Path) {
    let Some(disk) = disk().take() else { return };
    for (path, shadow) in disk.files {
        // The index of the log is memory.
        if let Some(name) = path.file_name().filter(|_| disk.cut) {
            fs::write(folder.join(name), shadow.durable).expect("the remains can be written");
        }
    }
}

/// The power goes.
pub(crate) fn cut() {
    if let Some(Disk { files, lots, cut }) = &mut *disk() {
        *cut = true;
        // In order of name: lots fall the same way again.
        let mut files: Vec<_> = files.iter_mut().collect();
        files.sort_by(|one, other| one.0.file_name().cmp(&other.0.file_name()));
        for (_, shadow) in files {
            shadow.lose(lots);
        }
    }
}

fn touch(path: &Path, change: impl FnOnce(&mut Shadow)) {
    if let Some(Disk { files, cut: false, .. }) = &mut *disk() {
        if !files.contains_key(path) {
            let durable = fs::read(path).unwrap_or_default();
            files.insert(path.to_owned(), Shadow { durable, pending: Vec::new() });
        }
        change(files.get_mut(path).expect("it was just put there"));
    }
}

/// A file was opened, perhaps made.
pub(crate) fn opened(path: &Path) {
    touch(path, |_| {});
}

/// Bytes were written.
pub(crate) fn wrote(path: &Path, offset: i64, bytes: &[u8]) {
    let offset = usize::try_from(offset).expect("an offset is no negative number");
    touch(path, |shadow| shadow.pending.push(Pending::Write { offset, bytes: bytes.to_vec() }));
}

/// A file was cut off or made longer.
pub(crate) fn truncated(path: &Path, length: i64) {
    let length = usize::try_from(length).expect("a length is no negative number");
    touch(path, |shadow| shadow.pending.push(Pending::Truncate(length)));
}

/// A file was synced.
pub(crate) fn synced(path: &Path) {
    touch(path, Shadow::sync);
}

/// A file was deleted.
pub(crate) fn deleted(path: &Path) {
    if let Some(Disk { files, cut: false, .. }) = &mut *disk() {
        files.remove(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_is_left_and_the_rest_is_left_to_chance() {
        let (mut kept, mut lost, mut torn) = (0, 0, 0);
        for seed in 0..100 {
            let mut shadow = Shadow { durable: vec![1; 4_096], pending: vec![Pending::Truncate(8_192)] };
            shadow.sync();
            assert_eq!(shadow.durable.len(), 8_192);
            shadow.pending.push(Pending::Write { offset: 0, bytes: vec![2; 4_096] });
            shadow.lose(&mut fastrand::Rng::with_seed(seed));
            match shadow.durable.iter().filter(|byte| **byte == 2).count() {
                0 => lost += 1,
                4_096 => kept += 1,
                some => torn += usize::from(some % SECTOR == 0),
            }
        }
        assert!(kept > 20 && lost > 20 && torn > 10, "{kept} {lost} {torn}");
        assert_eq!(kept + lost + torn, 100);
    }
}
