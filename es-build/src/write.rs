//! Last step: the files in the output folder.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    names::to_snake,
};

/// The Rust of one package.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) package: String,
    pub(crate) text: String,
}

impl Output {
    /// Name of the package's file, as `include_proto!` asks for it.
    fn file_name(&self) -> String {
        if self.package.is_empty() { "_.rs".to_owned() } else { format!("{}.rs", self.package) }
    }
}

/// Writes each package to its file, and the tree of modules to `include_file`.
pub(crate) fn write(out_dir: &Path, include_file: &Path, outputs: &[Output]) -> Result<()> {
    fs::create_dir_all(out_dir).map_err(|source| Error::Write { path: out_dir.to_path_buf(), source })?;
    for output in outputs {
        write_changed(out_dir.join(output.file_name()), &output.text)?;
    }
    write_changed(out_dir.join(include_file), &module_tree(outputs))
}

/// Leaves a file alone that says the same already, so that nothing is compiled again for it.
fn write_changed(path: PathBuf, text: &str) -> Result<()> {
    if fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    fs::write(&path, text).map_err(|source| Error::Write { path, source })
}

#[derive(Default)]
struct Module<'a> {
    output: Option<&'a Output>,
    children: BTreeMap<String, Module<'a>>,
}

/// Every package in the module of its name.
fn module_tree(outputs: &[Output]) -> String {
    let mut root = Module::default();
    for output in outputs {
        let parts = output.package.split('.').filter(|part| !part.is_empty());
        let module = parts.fold(&mut root, |module, part| module.children.entry(to_snake(part)).or_default());
        module.output = Some(output);
    }
    let mut text = String::from("// Written by es-build; included by `es_core::include_protos!()`.\n");
    write_module(&root, "", 0, &mut text);
    text
}

fn write_module(module: &Module<'_>, path: &str, depth: usize, text: &mut String) {
    let indent = "    ".repeat(depth);
    if let Some(output) = module.output {
        text.push_str(&format!("{indent}include!({:?});\n", output.file_name()));
    }
    for (name, child) in &module.children {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let path = path.replace("r#", "");
        text.push_str(&format!("{indent}/// Package `{path}`.\n"));
        if depth == 0 {
            // A program may keep all of it to itself.
            text.push_str("#[allow(unreachable_pub)]\n");
        }
        text.push_str(&format!("{indent}pub mod {name} {{\n"));
        write_module(child, &path, depth + 1, text);
        text.push_str(&format!("{indent}}}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_stands_in_the_module_of_its_name() {
        let packages = ["bank.v1", "bank", "type.v1", ""];
        let outputs = packages.map(|package| Output { package: package.into(), text: String::new() });
        let tree = module_tree(&outputs);
        assert_eq!(
            tree,
            r#"// Written by es-build; included by `es_core::include_protos!()`.
include!("_.rs");
/// Package `bank`.
#[allow(unreachable_pub)]
pub mod bank {
    include!("bank.rs");
    /// Package `bank.v1`.
    pub mod v1 {
        include!("bank.v1.rs");
    }
}
/// Package `type`.
#[allow(unreachable_pub)]
pub mod r#type {
    /// Package `type.v1`.
    pub mod v1 {
        include!("type.v1.rs");
    }
}
"#
        );
    }
}
