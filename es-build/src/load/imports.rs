//! Opens every file and every import once, so that all syntax errors and missing files are known before any is linked.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::Path,
};

use prost_types::FileDescriptorProto;
use protox::file::{File, FileResolver};

use super::{embedded, explain::explain, resolver::Resolver};
use crate::{check::suggest::did_you_mean, diagnostic::Diagnostic, read::locations::span_of_path};

/// Field number of `dependency` in `FileDescriptorProto`.
const DEPENDENCY: i32 = 3;

/// The input files by name, and what is wrong with them or their imports.
pub(super) struct Walked {
    pub(super) inputs: BTreeSet<String>,
    /// The inputs that parse, with all they import.
    pub(super) whole: BTreeSet<String>,
    pub(super) found: Vec<Diagnostic>,
}

/// Opens the files and all they import.
pub(super) fn walk(files: &[&Path], resolver: &Resolver) -> Walked {
    let (mut inputs, mut whole) = (BTreeSet::new(), BTreeSet::new());
    let mut walk = Walk { resolver, seen: HashMap::new(), found: Vec::new() };
    for path in files {
        let shown = path.to_string_lossy().replace('\\', "/");
        match resolver.name_of(path) {
            Some(name) => {
                if walk.input(&shown, &name) {
                    whole.insert(name.clone());
                }
                inputs.insert(name);
            }
            None if path.exists() => walk.found.push(Diagnostic::in_file(
                &shown,
                "the file is in none of the include folders; pass the folder its imports are relative to as an include",
            )),
            None => walk.found.push(missing(&shown)),
        }
    }
    Walked { inputs, whole, found: walk.found }
}

fn missing(path: &str) -> Diagnostic {
    Diagnostic::in_file(path, "no such file; paths in build.rs are relative to the folder of Cargo.toml")
}

struct Walk<'a> {
    resolver: &'a Resolver,
    /// Each file, and whether it and all it imports parse.
    seen: HashMap<String, bool>,
    found: Vec<Diagnostic>,
}

impl Walk<'_> {
    /// Opens an input; tells whether it and all it imports parse.
    fn input(&mut self, path: &str, name: &str) -> bool {
        if let Some(whole) = self.seen.get(name) {
            return *whole;
        }
        match self.resolver.open_file(name) {
            Ok(file) => self.imports(&file, &mut vec![name.to_owned()]),
            Err(error) if error.is_file_not_found() => {
                self.found.push(missing(path));
                false
            }
            Err(error) => {
                self.found.extend(explain(&error, self.resolver));
                false
            }
        }
    }

    /// Opens what the last file on the stack imports.
    fn imports(&mut self, file: &File, stack: &mut Vec<String>) -> bool {
        let descriptor = file.file_descriptor_proto();
        let mut listed = HashSet::new();
        let mut whole = true;
        for (index, import) in (0..).zip(&descriptor.dependency) {
            if listed.insert(import) {
                match self.import(import, stack) {
                    Ok(parses) => whole &= parses,
                    Err(message) => {
                        self.found.push(self.at_import(descriptor, index, import, message));
                        whole = false;
                    }
                }
            } else {
                let message = format!("`{import}` is imported twice; remove one of the imports");
                self.found.push(self.at_import(descriptor, index, import, message));
                whole = false;
            }
        }
        self.seen.insert(file.name().to_owned(), whole);
        whole
    }

    /// Opens an import: whether it parses, or what is wrong with importing it.
    fn import(&mut self, import: &str, stack: &mut Vec<String>) -> Result<bool, String> {
        if let Some(start) = stack.iter().position(|name| name == import) {
            let cycle = stack[start..].join(" imports ");
            return Err(format!(
                "files import each other: {cycle} imports {import}; move the shared definitions to a third file"
            ));
        }
        if let Some(whole) = self.seen.get(import) {
            return Ok(*whole);
        }
        match self.resolver.open_file(import) {
            Ok(imported) => {
                stack.push(import.to_owned());
                let whole = self.imports(&imported, stack);
                stack.pop();
                Ok(whole)
            }
            Err(error) if error.is_file_not_found() => {
                let hint = match did_you_mean(import, embedded::names()) {
                    hint if hint.is_empty() => "; add the folder it is in to the includes".to_owned(),
                    hint => hint,
                };
                Err(format!("no file `{import}` in any of the include folders{hint}"))
            }
            Err(error) => {
                self.found.extend(explain(&error, self.resolver));
                self.seen.insert(import.to_owned(), false);
                Ok(false)
            }
        }
    }

    fn at_import(&self, file: &FileDescriptorProto, index: i32, import: &str, message: String) -> Diagnostic {
        let sources = self.resolver.sources();
        let span = span_of_path(file, &sources, &[DEPENDENCY, index]).narrowed(&sources, import);
        Diagnostic::at(&sources, &span, message)
    }
}
