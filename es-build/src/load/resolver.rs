//! Where files are looked up: this crate's own annotations, the include folders, then the other bundled files.

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use protox::{
    Error,
    file::{File, FileResolver, GoogleFileResolver},
};

use super::embedded;
use crate::diagnostic::{Source, Sources};

/// Finds files, and remembers what it read.
#[derive(Clone)]
pub(super) struct Resolver {
    includes: Vec<PathBuf>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    sources: Sources,
    watched: BTreeSet<String>,
    files: HashMap<String, File>,
}

impl Resolver {
    pub(super) fn new(includes: &[&Path]) -> Self {
        Self { includes: includes.iter().map(|path| path.to_path_buf()).collect(), seen: Arc::default() }
    }

    pub(super) fn sources(&self) -> Sources {
        self.seen().sources.clone()
    }

    pub(super) fn watched(&self) -> BTreeSet<String> {
        self.seen().watched.clone()
    }

    /// The name imports use for a file given by its path: the path below the include folder it is in.
    pub(super) fn name_of(&self, path: &Path) -> Option<String> {
        let below = |include: &PathBuf| match path.strip_prefix(include) {
            Ok(relative) => Some(relative.to_path_buf()),
            // "./proto" and an absolute path are the same folder spelled differently.
            Err(_) => {
                let (path, include) = (fs::canonicalize(path).ok()?, fs::canonicalize(include).ok()?);
                path.strip_prefix(include).ok().map(Path::to_path_buf)
            }
        };
        let relative = self.includes.iter().find_map(below).or_else(|| {
            let exists = |include: &&PathBuf| path.is_relative() && include.join(path).is_file();
            self.includes.iter().find(exists).map(|_| path.to_path_buf())
        })?;
        let parts: Option<Vec<&str>> = relative.iter().map(|part| part.to_str()).collect();
        parts.map(|parts| parts.join("/")).filter(|name| !name.is_empty())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, name: &str) -> Result<File, Error> {
        // A copy among the user's files may be older than what this version reads from it.
        if let Some(text) = embedded::annotations(name) {
            return self.parse(name, name.to_owned(), text.as_bytes().to_vec());
        }
        for include in &self.includes {
            let path = include.join(name);
            let shown = path.to_string_lossy().replace('\\', "/");
            match fs::read(&path) {
                Ok(bytes) => {
                    self.seen().watched.insert(shown.clone());
                    return self.parse(name, shown, bytes);
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => {
                    return Err(Error::new(io::Error::new(error.kind(), format!("can't read {shown}: {error}"))));
                }
            }
        }
        match embedded::text(name) {
            Some(text) => self.parse(name, name.to_owned(), text.as_bytes().to_vec()),
            None => GoogleFileResolver::new().open_file(name),
        }
    }

    fn parse(&self, name: &str, path: String, bytes: Vec<u8>) -> Result<File, Error> {
        // The parser takes no byte order mark.
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::new(io::Error::new(io::ErrorKind::InvalidData, format!("{path} is not UTF-8 text"))))?;
        let text = text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned);
        self.seen().sources.insert(name, Source { path, text: text.clone() });
        File::from_source(name, &text)
    }
}

impl FileResolver for Resolver {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        if let Some(file) = self.seen().files.get(name) {
            return Ok(file.clone());
        }
        let file = self.read(name)?;
        self.seen().files.insert(name.to_owned(), file.clone());
        Ok(file)
    }
}
