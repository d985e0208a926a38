//! First step: the files and all they import, parsed and linked, or every mistake in them.

pub(crate) mod embedded;
mod explain;
mod imports;
mod resolver;
mod scope;
mod used;

use std::{collections::BTreeSet, path::Path};

use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorProto;
use protox::Compiler;

use crate::{
    diagnostic::Sources,
    error::{Error, Result},
};
use imports::Walked;
use resolver::Resolver;

/// What was read.
pub(crate) struct Loaded {
    pub(crate) pool: DescriptorPool,
    /// Files before the files that import them.
    pub(crate) files: Vec<FileDescriptorProto>,
    pub(crate) sources: Sources,
    /// Bundled packages that a message or rpc has a type of.
    pub(crate) used: BTreeSet<String>,
    /// Names of the files that were asked for, not only imported.
    pub(crate) inputs: BTreeSet<String>,
}

/// Reads the files and all they import; tells the paths of those that were read, also where something is wrong.
pub(crate) fn load(files: &[&Path], includes: &[&Path]) -> (Result<Loaded>, BTreeSet<String>) {
    let resolver = Resolver::new(includes);
    let loaded = load_with(files, &resolver);
    (loaded, resolver.watched())
}

fn load_with(files: &[&Path], resolver: &Resolver) -> Result<Loaded> {
    let Walked { inputs, whole, mut found } = imports::walk(files, resolver);
    let mut compiler = Compiler::with_file_resolver(resolver.clone());
    compiler.include_source_info(true).include_imports(true);
    for name in &whole {
        if let Err(error) = compiler.open_file(name) {
            found.extend(explain::explain(&error, resolver));
        }
    }
    if !found.is_empty() {
        return Err(Error::from_diagnostics(found));
    }
    Ok(Loaded {
        used: used::packages(&compiler.descriptor_pool()),
        pool: compiler.descriptor_pool(),
        files: compiler.file_descriptor_set().file,
        sources: resolver.sources(),
        inputs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_watched_imports_included_also_where_something_is_wrong() {
        let include = Path::new("tests/fixtures");
        let watch = |file: &str| load(&[&include.join(file)], &[include]).1.into_iter().collect::<Vec<_>>();
        let domain = ["cart.proto", "events.proto"].map(|file| format!("tests/fixtures/shop/domain/v1/{file}"));
        let service = ["shop/service/v1/cart.proto", "shop/support/v1/money.proto"];
        let service = service.map(|file| format!("tests/fixtures/{file}"));
        assert_eq!(watch("shop/service/v1/cart.proto"), [domain, service].concat());
        assert_eq!(watch("errors/syntax_error.proto"), ["tests/fixtures/errors/syntax_error.proto"]);
    }

    #[test]
    fn every_bundled_file_compiles() {
        let files: Vec<&Path> = embedded::FILES.iter().map(|(name, _)| Path::new(name)).collect();
        let (loaded, _) = load(&files, &[Path::new("proto")]);
        assert_eq!(loaded.map(|loaded| loaded.inputs.len()).unwrap(), embedded::FILES.len());
    }
}
