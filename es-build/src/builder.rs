//! The settings of a run, and the run itself.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::{
    check::{self, Products},
    error::{Error, Result},
    generate::{self, paths::Paths},
    load, read,
    write::{self, Output},
};

/// Starts from the default settings; finish with [`compile_protos`](Builder::compile_protos).
pub fn configure() -> Builder {
    Builder::default()
}

/// Settings of what is generated. Created by [`configure`].
///
/// ```no_run
/// # fn main() -> es_build::Result<()> {
/// // The crate with the domain: messages, events and clients come from the crate of the contract.
/// es_build::configure()
///     .extern_path(".bank.v1", "::bank_contract::bank::v1")
///     .build_client(false)
///     .compile_protos(&["proto/bank/v1/account.proto"], &["proto"])
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is generated before `compile_protos`"]
pub struct Builder {
    server: bool,
    client: bool,
    extern_paths: Vec<(String, String)>,
    type_attributes: Vec<(String, String)>,
    field_attributes: Vec<(String, String)>,
    out_dir: Option<PathBuf>,
    include_file: PathBuf,
    emit_rerun: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            server: true,
            client: true,
            extern_paths: Vec::new(),
            type_attributes: Vec::new(),
            field_attributes: Vec::new(),
            out_dir: None,
            include_file: "_protos.rs".into(),
            emit_rerun: true,
        }
    }
}

impl Builder {
    /// Whether to generate the trait and the server of each service. Default: yes.
    pub fn build_server(mut self, yes: bool) -> Self {
        self.server = yes;
        self
    }

    /// Whether to generate the client of each service. Default: yes.
    pub fn build_client(mut self, yes: bool) -> Self {
        self.client = yes;
        self
    }

    /// Uses existing Rust types for a package, or for one message, instead of generating them:
    /// `(".bank.v1", "::bank_contract::bank::v1")`.
    ///
    /// The enum of events, the repository and the hooks of such a package are expected at the same path. Its services are
    /// generated here if their file is among those compiled.
    pub fn extern_path(mut self, proto_path: impl Into<String>, rust_path: impl Into<String>) -> Self {
        self.extern_paths.push((proto_path.into(), rust_path.into()));
        self
    }

    /// Adds an attribute to the messages, enums and oneofs that match, as
    /// [prost-build's](https://docs.rs/prost-build/latest/prost_build/struct.Config.html#method.type_attribute) does.
    pub fn type_attribute(mut self, path: impl Into<String>, attribute: impl Into<String>) -> Self {
        self.type_attributes.push((path.into(), attribute.into()));
        self
    }

    /// Adds an attribute to the fields that match, as
    /// [prost-build's](https://docs.rs/prost-build/latest/prost_build/struct.Config.html#method.field_attribute) does.
    pub fn field_attribute(mut self, path: impl Into<String>, attribute: impl Into<String>) -> Self {
        self.field_attributes.push((path.into(), attribute.into()));
        self
    }

    /// The folder to write to. Default: the environment variable `OUT_DIR`, which cargo sets for build scripts.
    pub fn out_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out_dir = Some(folder.into());
        self
    }

    /// Name of the file with the tree of all modules. Default: `_protos.rs`, which `es_core::include_protos!()` includes.
    pub fn include_file(mut self, name: impl Into<PathBuf>) -> Self {
        self.include_file = name.into();
        self
    }

    /// Whether to print `cargo:rerun-if-changed` for every file read. Default: yes; turn it off outside of build scripts.
    pub fn emit_rerun_if_changed(mut self, yes: bool) -> Self {
        self.emit_rerun = yes;
        self
    }

    /// Compiles `.proto` files. Imports are looked up in the folders `includes`; the files bundled with this crate need
    /// none.
    ///
    /// # Errors
    /// If a file is missing or has mistakes (all are reported), or if the output can't be written.
    pub fn compile_protos(self, files: &[impl AsRef<Path>], includes: &[impl AsRef<Path>]) -> Result<()> {
        let files: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
        let includes: Vec<&Path> = includes.iter().map(AsRef::as_ref).collect();
        let out_dir = self.out_dir.clone().or_else(|| env::var_os("OUT_DIR").map(PathBuf::from)).ok_or_else(|| {
            Error::Setting(
                "OUT_DIR is not set; call this from build.rs, or set the folder to write to with `out_dir`".into(),
            )
        })?;
        let (loaded, watched) = load::load(&files, &includes);
        if self.emit_rerun {
            // Also of a run that fails, so that the next one sees the fix.
            for path in &watched {
                println!("cargo:rerun-if-changed={path}");
            }
        }
        let outputs = self.generate(loaded?)?;
        write::write(&out_dir, &self.include_file, &outputs)
    }

    fn generate(&self, loaded: load::Loaded) -> Result<Vec<Output>> {
        let paths = Paths::new(&self.extern_paths, &loaded.used)?;
        let protos = read::read(&loaded, |name| paths.is_external(name));
        let products = Products { server: self.server, client: self.client };
        let system = check::check(&protos, products)?;
        let attributes = generate::messages::Attributes {
            extern_paths: &self.extern_paths,
            types: &self.type_attributes,
            fields: &self.field_attributes,
        };
        generate::generate(loaded, &system, &paths, products, &attributes)
    }
}
