//! The folder for what is fetched once: servers and Python packages.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::Error;

/// The folder `name` of the cache, filled by `fill` if no process did so before.
///
/// Many processes may ask at once: one fills, the others wait for it. The folder appears complete or not at all.
pub(crate) fn folder(name: &str, fill: impl FnOnce(&Path) -> Result<(), Error>) -> Result<PathBuf, Error> {
    let root = root();
    let done = root.join(name);
    if done.is_dir() {
        return Ok(done);
    }
    fs::create_dir_all(&root).map_err(Error::io(format!("create {}", root.display())))?;
    let lock = root.join(format!("{name}.lock"));
    let file = File::create(&lock).map_err(Error::io(format!("create {}", lock.display())))?;
    file.lock().map_err(Error::io(format!("lock {}", lock.display())))?;
    if done.is_dir() {
        return Ok(done);
    }
    let partial = tempfile::Builder::new()
        .prefix(&format!("{name}."))
        .tempdir_in(&root)
        .map_err(Error::io(format!("create a folder in {}", root.display())))?;
    fill(partial.path())?;
    fs::rename(partial.keep(), &done).map_err(Error::io(format!("create {}", done.display())))?;
    Ok(done)
}

/// `test-servers` in cargo's target folder; in the system's temporary folder for a program that cargo did not build.
///
/// Cargo marks its target folder, and the running executable lies below it, but for that of a documentation test.
fn root() -> PathBuf {
    let executable = std::env::current_exe().unwrap_or_default();
    let marked = executable.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file()).map(Path::to_path_buf);
    let named = || std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let of_workspace = || {
        let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
        package.ancestors().map(|folder| folder.join("target")).find(|folder| folder.join("CACHEDIR.TAG").is_file())
    };
    marked.or_else(named).or_else(of_workspace).unwrap_or_else(std::env::temp_dir).join("test-servers")
}
