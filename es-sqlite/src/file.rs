//! The file itself: whether it is there and is one, without ever opening it beside SQLite.
//!
//! Closing any handle of a file drops all locks this process has on it, those of SQLite's connections included. So an
//! existing file is only asked for its metadata here, and read through SQLite, which knows about its own handles.

use std::{
    ffi::OsString,
    fmt::Write,
    fs::{Metadata, OpenOptions},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use es_core::Error;

/// Bytes of the smallest database: one page of the smallest size.
const SMALLEST: u64 = 512;

/// What stands at a path.
#[derive(Debug, PartialEq)]
pub(crate) enum Found {
    /// A file that nothing was written to, perhaps just made.
    Empty,
    /// A file with something in it.
    Something,
}

/// Makes sure that there is a file.
pub(crate) fn find_or_create(path: &Path, create: bool) -> Result<Found, Error> {
    if path.as_os_str().is_empty() || path == Path::new(":memory:") {
        let why = format!("`{}` is not the path of a file; es_core::MemoryStore is a store in memory", path.display());
        return Err(Error::InvalidRequest { why });
    }
    let io = |source| Err(Error::Io { what: format!("opening {}", path.display()), source });
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => Err(Error::NotAStore { path: path.into(), why: "it is a folder".into() }),
        Ok(metadata) if !metadata.is_file() => {
            Err(Error::NotAStore { path: path.into(), why: "it is not a regular file".into() })
        }
        // SQLite would take it for an empty one and write over it.
        Ok(metadata) if (1..SMALLEST).contains(&metadata.len()) => {
            Err(Error::NotAStore { path: path.into(), why: "it is not an SQLite file".into() })
        }
        Ok(metadata) => {
            warn_if_others_can_read(&metadata, path);
            Ok(if metadata.len() == 0 { Found::Empty } else { Found::Something })
        }
        Err(error) if error.kind() == ErrorKind::NotFound && create => make(path),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            io("the file does not exist, and `create(false)` was set".into())
        }
        Err(error) => io(error.into()),
    }
}

/// Makes a file, unless something is there already.
pub(crate) fn make(path: &Path) -> Result<Found, Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(Found::Empty),
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Found::Something),
        Err(error) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists());
            let source = match folder {
                Some(folder) => format!("the folder {} does not exist", folder.display()).into(),
                None => error.into(),
            };
            Err(Error::Io { what: format!("creating {}", path.display()), source })
        }
    }
}

#[cfg(unix)]
fn warn_if_others_can_read(metadata: &Metadata, path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if metadata.permissions().mode() & 0o007 != 0 {
        tracing::warn!(path = %path.display(), "every user of this machine can open this database; consider mode 0600");
    }
}

#[cfg(not(unix))]
fn warn_if_others_can_read(_: &Metadata, _: &Path) {}

/// Whether something beside the file may be newer than the file itself: a log, or a journal to be rolled back.
pub(crate) fn may_be_outdated(path: &Path) -> bool {
    let is_filled = |suffix| beside(path, suffix).metadata().is_ok_and(|metadata| metadata.len() > 0);
    ["-wal", "-journal"].into_iter().any(is_filled)
}

/// The path of a file that SQLite puts beside another.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut beside = OsString::from(path);
    beside.push(suffix);
    beside.into()
}

/// Makes sure that a new file is found after a power cut.
#[cfg(unix)]
pub(crate) fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| Error::Io { what: format!("syncing {}", folder.display()), source: error.into() })
}

#[cfg(not(unix))]
pub(crate) fn sync_folder(_: &Path) -> Result<(), Error> {
    Ok(())
}

/// Whether nobody may write to the file, or to its folder.
pub(crate) fn is_read_only(path: &Path) -> bool {
    let read_only = |path: &Path| path.metadata().is_ok_and(|metadata| metadata.permissions().readonly());
    read_only(path) || path.parent().is_some_and(read_only)
}

/// The file as one that nobody changes: SQLite then takes no lock and puts no file beside it.
pub(crate) fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    if path.is_absolute() {
        uri.push_str(if cfg!(windows) { "///" } else { "//" });
    }
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'\\' if cfg!(windows) => uri.push('/'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(byte)),
            b':' if cfg!(windows) => uri.push(':'),
            // Writing to a string can't fail.
            _ => drop(write!(uri, "%{byte:02x}")),
        }
    }
    uri + "?immutable=1"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_path_in_a_uri_is_the_same_path() {
        assert_eq!(immutable_uri(Path::new("/a b/c?d#e%f")), "file:///a%20b/c%3fd%23e%25f?immutable=1");
        assert_eq!(immutable_uri(Path::new("bank.db")), "file:bank.db?immutable=1");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("odd ? name # % ü.db");
        rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 7").unwrap();
        let immutable = rusqlite::Connection::open(immutable_uri(&path)).unwrap();
        let version: i32 = immutable.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 7);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_not_even_opened() {
        let error = find_or_create(Path::new("/dev/null"), true).unwrap_err().to_string();
        assert_eq!(error, "/dev/null is not an event store: it is not a regular file");
    }
}
