//! A file that gets its name when it is whole.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use es_core::{Error, Result};

use crate::{
    errors::Place,
    file::{self, Found},
};

/// What a copy is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// To be kept.
    Backup,
    /// To be used.
    Restore,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
        }
    }

    /// What is wrong with a file that is there already, and what to do about it.
    fn exists(self) -> &'static str {
        match self {
            Self::Backup => "exists already; a backup goes into a new file",
            Self::Restore => {
                "exists already; a store is restored into a new file: stop what uses the former one and move it away, \
                 its -wal and -shm with it (it may hold what the backup lacks), or choose another name"
            }
        }
    }
}

/// The copy while it is made, under a name of its own: cut off by a crash, it must not look like a backup. It goes again
/// unless it gets the name it is for.
pub(crate) struct Partial {
    path: PathBuf,
    target: PathBuf,
    purpose: Purpose,
}

impl Partial {
    pub(crate) fn make(target: &Path, purpose: Purpose) -> Result<Self> {
        let path = file::beside(target, ".partial");
        let refuse = |path: &Path, why: &str| Err(Error::InvalidRequest { why: format!("{} {why}", path.display()) });
        if target.as_os_str().is_empty() || target == Path::new(":memory:") {
            return refuse(target, "is not the path of a file");
        }
        if target.symlink_metadata().is_ok() {
            return refuse(target, purpose.exists());
        }
        if file::make(&path)? == Found::Something {
            let what = purpose.name();
            let why = format!("exists: another {what} is under way, or one was cut off and left it to be removed");
            return refuse(&path, &why);
        }
        let made = Self { path, target: target.to_owned(), purpose };
        // SQLite would take them for the copy's.
        if [&made.path, target].into_iter().any(file::may_be_outdated) {
            return refuse(target, "has the log of a former file beside it; move that away or choose another name");
        }
        Ok(made)
    }

    /// The file that is being made.
    pub(crate) fn place(&self, busy_timeout: Duration) -> Place {
        Place { path: self.path.clone(), busy_timeout }
    }

    /// Gives the copy its name, unless somebody else has taken it meanwhile.
    pub(crate) fn keep(self) -> Result<()> {
        let Self { path, target, purpose } = &self;
        let named = std::fs::hard_link(path, target).or_else(|error| match error.kind() {
            // Some file systems have no links.
            _ if target.symlink_metadata().is_err() => std::fs::rename(path, target),
            _ => Err(error),
        });
        match named {
            Ok(()) => file::sync_folder(target),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(Error::InvalidRequest { why: format!("{} {}", target.display(), purpose.exists()) })
            }
            Err(error) => Err(Error::Io { what: format!("naming {}", target.display()), source: error.into() }),
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        for made in [&file::beside(&self.path, "-journal"), &self.path] {
            if let Err(error) = std::fs::remove_file(made)
                && error.kind() != ErrorKind::NotFound
            {
                tracing::warn!(%error, path = %made.display(), "a copy that was given up left this file behind");
            }
        }
    }
}
