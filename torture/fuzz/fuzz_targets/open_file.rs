//! Opens arbitrary bytes as a store, reads all there is and appends to it: an answer or an error, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("victim.db");
    std::fs::write(&path, bytes).expect("a file can be written");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    runtime.block_on(torture::hostile::open_and_use(&path));
});
