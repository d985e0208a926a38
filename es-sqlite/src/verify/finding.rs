//! What a check may find, one line each.

use std::fmt::{self, Write};

/// Something in a store's file that is not as it should be; `Display` says it in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// SQLite's own check found the structure of the file damaged.
    File {
        /// What SQLite says.
        why: String,
    },
    /// A table has a row that can't be, or can't be read to its end.
    Table {
        /// The table.
        table: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Events are not there, or can't be reached.
    Missing {
        /// Position of the first of them.
        first: u64,
        /// Position of the last of them.
        last: u64,
        /// What gives it away.
        why: String,
    },
    /// An event is not what was written, or does not follow from those before it.
    Event {
        /// Its position.
        position: u64,
        /// What is wrong.
        why: String,
    },
    /// A stream has no events, or its index does not lead to them.
    Stream {
        /// The stream, as far as it can be named.
        stream: String,
        /// What is wrong.
        why: String,
    },
    /// A unique key is held by another stream than the events say.
    Claim {
        /// The tenant, if there is one.
        tenant: Option<String>,
        /// The constraint's name.
        constraint: String,
        /// The key.
        key: String,
        /// Who holds it, and who should.
        why: String,
    },
    /// The recorded answer to a command is not what was written, or is about events that are not there.
    Command {
        /// The tenant, if there is one.
        tenant: Option<String>,
        /// The command's id.
        id: String,
        /// What is wrong.
        why: String,
    },
    /// A snapshot is ahead of its stream: the log has lost its end.
    SnapshotAhead {
        /// The stream, as far as it can be named.
        stream: String,
        /// The fingerprint of the program that took it.
        fingerprint: u64,
        /// The version it was taken at.
        version: u64,
        /// The version its stream stands at; 0 when there is none.
        head: u64,
    },
    /// A snapshot is damaged. Only a note: snapshots are a cache, and the store does not use this one.
    DamagedSnapshot {
        /// The stream, as far as it can be named.
        stream: String,
        /// The fingerprint of the program that took it.
        fingerprint: u64,
        /// What is wrong.
        why: String,
    },
    /// A scheduled command is not what was written, or would not be found when it is due.
    Scheduled {
        /// The tenant, if there is one.
        tenant: Option<String>,
        /// The key it is scheduled under.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// The checkpoint of a projection in this file does not fit the store.
    Checkpoint {
        /// The projection.
        projection: String,
        /// What is wrong.
        why: String,
    },
    /// What a projection in this file has noted of an event that it parked or passed over does not fit the log.
    Parked {
        /// The projection.
        projection: String,
        /// The event's position.
        position: u64,
        /// What is wrong.
        why: String,
    },
    /// There is more than a report holds.
    More,
}

impl Finding {
    /// Whether it is only worth knowing, and the store is as good as without it.
    pub fn is_note(&self) -> bool {
        matches!(self, Self::DamagedSnapshot { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |tenant: &Option<String>| tenant.as_ref().map(|name| format!(" of tenant {name}")).unwrap_or_default();
        let line = match self {
            Self::File { why } => format!("file: {why}"),
            Self::Table { table, why } => format!("table {table}: {why}"),
            Self::Missing { first, last, why } if first == last => format!("event at position {first}: {why}"),
            Self::Missing { first, last, why } => format!("events at positions {first} to {last}: {why}"),
            Self::Event { position, why } => format!("event at position {position}: {why}"),
            Self::Stream { stream, why } => format!("stream {stream}: {why}"),
            Self::Claim { tenant, constraint, key, why } => {
                format!("unique key `{key}` of `{constraint}`{}: {why}", of(tenant))
            }
            Self::Command { tenant, id, why } => format!("answer to command {id}{}: {why}", of(tenant)),
            Self::SnapshotAhead { stream, fingerprint, version, head } => {
                format!(
                    "snapshot {fingerprint:016x} of {stream}: it is of version {version}, the stream ends at {head}"
                )
            }
            Self::DamagedSnapshot { stream, fingerprint, why } => {
                format!("note: snapshot {fingerprint:016x} of {stream}: {why}; the store does not use it")
            }
            Self::Scheduled { tenant, key, why } => format!("command scheduled under `{key}`{}: {why}", of(tenant)),
            Self::Checkpoint { projection, why } => format!("checkpoint of projection `{projection}`: {why}"),
            Self::Parked { projection, position, why } => {
                format!("event at position {position}, not handled by projection `{projection}`: {why}")
            }
            Self::More => "there is more than this report holds".into(),
        };
        // Keys and damaged names may hold anything.
        line.chars().try_for_each(|c| match c {
            c if c.is_control() => write!(f, "{}", c.escape_default()),
            c => f.write_char(c),
        })
    }
}

/// Findings in the order they were made, as many as are worth keeping.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

/// Someone who reads on has other worries.
const MOST: usize = 10_000;

impl Findings {
    pub(super) fn push(&mut self, finding: Finding) {
        match self.0.len() {
            ..MOST => self.0.push(finding),
            MOST => self.0.push(Finding::More),
            _ => {}
        }
    }

    pub(super) fn into_vec(self) -> Vec<Finding> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_whatever_a_key_holds() {
        let finding = Finding::Claim {
            tenant: Some("acme".into()),
            constraint: "email".into(),
            key: "a\nb\u{7}".into(),
            why: "no event takes it".into(),
        };
        assert_eq!(finding.to_string(), "unique key `a\\nb\\u{7}` of `email` of tenant acme: no event takes it");
    }

    #[test]
    fn findings_are_bounded_and_say_so() {
        let mut findings = Findings::default();
        for position in 1..=20_000 {
            findings.push(Finding::Event { position, why: String::new() });
        }
        let findings = findings.into_vec();
        assert_eq!((findings.len(), findings.last()), (MOST + 1, Some(&Finding::More)));
    }
}
