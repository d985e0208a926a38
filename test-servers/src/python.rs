//! Programs that were not written with this project: Python with packages.

use std::path::PathBuf;
use std::process::Command;

use crate::error::said;
use crate::{Error, cache};

/// A Python 3 with packages that pip fetches once.
///
/// ```no_run
/// # fn main() -> Result<(), test_servers::Error> {
/// use test_servers::Python;
///
/// let mut python = Python::with(&["nats-py==2.16.0"])?.command();
/// python.args(["-c", "import nats"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Python {
    packages: PathBuf,
}

impl Python {
    /// With these packages, each given with its version: `name==1.2.3`. Nothing is installed into the system.
    ///
    /// # Errors
    ///
    /// [`Error::NoPackage`] when there is no `python3` with pip, or no package index that has them.
    pub fn with(packages: &[&str]) -> Result<Self, Error> {
        let failed = |why: String| {
            Error::NoPackage(format!(
                "no Python packages {} to test with: {why}\nTo get them: have python3 with pip and a package index",
                packages.join(" ")
            ))
        };
        let run = |command: &mut Command| match command.output() {
            Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            Ok(output) => Err(failed(said(&output))),
            Err(error) => Err(failed(format!("python3: {error}"))),
        };
        // A package with machine code is of one version of Python.
        let version = run(Command::new("python3").args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]))?;
        let folder = cache::folder(&format!("python{version}-{}", packages.join("-")), |folder| {
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"];
            run(Command::new("python3").args(pip).arg(folder).args(packages)).map(drop)
        })?;
        Ok(Self { packages: folder })
    }

    /// A `python3` that finds the packages, for the caller to add the script and run it.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", &self.packages).env("PYTHONDONTWRITEBYTECODE", "1");
        python
    }
}
