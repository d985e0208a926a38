//! The macros that bring generated code in.

/// Includes what es-build generated for one proto package.
///
/// ```text
/// pub mod bank {
///     pub mod v1 {
///         es_core::include_proto!("bank.v1");
///     }
/// }
/// ```
///
/// Packages that refer to each other look for one another by their place in the module tree, so give each the modules
/// its name says; [`include_protos!`](crate::include_protos) does that for all of them.
#[macro_export]
macro_rules! include_proto {
    ($package:literal) => {
        include!(concat!(
            env!("OUT_DIR", "there is no build.rs that calls es_build::compile_protos"),
            "/",
            $package,
            ".rs"
        ));
    };
}

/// Includes what es-build generated for every package, as a tree of modules: `bank.v1` becomes `bank::v1`.
///
/// ```text
/// es_core::include_protos!();
/// use bank::v1::*;
/// ```
#[macro_export]
macro_rules! include_protos {
    () => {
        include!(concat!(env!("OUT_DIR", "there is no build.rs that calls es_build::compile_protos"), "/_protos.rs"));
    };
}
