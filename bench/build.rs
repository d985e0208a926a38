//! Generates the measured domain from its proto.

fn main() -> es_build::Result<()> {
    es_build::compile_protos(&["proto/bench/v1/account.proto"], &["proto"])
}
