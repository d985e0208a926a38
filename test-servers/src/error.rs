use std::io;
use std::process::Output;

/// Why a server for a test could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No binary of the version asked for was found or fetched; the text says how to provide one.
    #[error("{0}")]
    NoBinary(String),
    /// A package that a test needs could not be fetched.
    #[error("{0}")]
    NoPackage(String),
    /// The server ended, or was not ready in time.
    #[error("nats-server {why}; the end of its log {log}:\n{tail}", log = log.display())]
    NotReady {
        /// What was waited for and what happened instead.
        why: String,
        /// The server's log file.
        log: std::path::PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A file, a process or a socket of the test failed.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: an I/O error with what was tried, as in "cannot ...".
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what.into(), source }
    }
}

/// What a command that failed had to say, for an error's text.
pub(crate) fn said(output: &Output) -> String {
    format!("{}\n{}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
