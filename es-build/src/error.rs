//! Why nothing was generated.

use std::{fmt, io, path::PathBuf};

use crate::diagnostic::Diagnostic;

/// What the functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why nothing was generated.
///
/// `Debug` prints what a person reads, because that is what cargo shows of a `build.rs` whose `main` returns an error.
#[non_exhaustive]
pub enum Error {
    /// The `.proto` files have mistakes: all of them, sorted by file and place.
    Protos(Vec<Diagnostic>),
    /// A file could not be written.
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A setting of the builder can't be used.
    Setting(String),
}

impl Error {
    /// The mistakes in the `.proto` files, where that is what the error is about.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Protos(diagnostics) => diagnostics,
            _ => &[],
        }
    }

    /// All mistakes that were found, in the order they are shown.
    pub(crate) fn from_diagnostics(mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by(|a, b| a.key().cmp(&b.key()));
        diagnostics.dedup();
        Self::Protos(diagnostics)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protos(diagnostics) => {
                for diagnostic in diagnostics {
                    writeln!(f, "{diagnostic}\n")?;
                }
                match diagnostics.len() {
                    1 => write!(f, "1 error in the .proto files"),
                    count => write!(f, "{count} errors in the .proto files"),
                }
            }
            Self::Write { path, source } => write!(f, "can't write {}: {source}", path.display()),
            Self::Setting(message) => f.write_str(message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // After cargo's own "Error: ", each mistake starts its line, as editors expect it.
            Self::Protos(_) => write!(f, "the .proto files have mistakes\n\n{self}"),
            _ => fmt::Display::fmt(self, f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Write { source, .. } => Some(source),
            _ => None,
        }
    }
}
