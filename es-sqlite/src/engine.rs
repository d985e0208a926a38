//! The gate for engines with a known defect.

use es_core::Error;

/// Refuses the linked SQLite if it can lose data.
pub(crate) fn check() -> Result<(), Error> {
    check_version(rusqlite::version_number())
}

fn check_version(version: i32) -> Result<(), Error> {
    let why = match version {
        3_052_000 => "this release was withdrawn",
        ..3_051_003 => "several connections can corrupt a write-ahead log when it is reset; 3.51.3 repairs it",
        _ => return Ok(()),
    };
    let version = format!("{}.{}.{}", version / 1_000_000, version / 1_000 % 1_000, version % 1_000);
    Err(Error::UnsafeEngine { version, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linked_engine_is_safe() {
        check().unwrap();
    }

    #[test]
    fn engines_that_lose_data_are_refused_by_name() {
        for (version, name) in [(3_040_001, "3.40.1"), (3_051_002, "3.51.2"), (3_052_000, "3.52.0")] {
            let message = check_version(version).unwrap_err().to_string();
            assert!(message.starts_with(&format!("SQLite {name} is not safe here")), "{message}");
        }
        for version in [3_051_003, 3_052_001, 3_054_001] {
            check_version(version).unwrap();
        }
    }
}
