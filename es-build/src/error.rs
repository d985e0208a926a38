//! Why nothing was generated.

use std::{fmt, io, path::PathBuf};

use crate::diagnostic::Diagnostic;

/// Result of the functions of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why nothing was generated.
///
/// `Debug` prints the same readable text as `Display`, because cargo shows it when the `main` of a `build.rs` returns an
/// error.
#[non_exhaustive]
pub enum Error {
    /// The `.proto` files have mistakes. All are listed, sorted by file and place.
    Protos(Vec<Diagnostic>),
    /// A file could not be written.
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A setting of the builder can't be used.
    Setting(String),
}

impl Error {
    /// The mistakes in the `.proto` files; empty for other errors.
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
