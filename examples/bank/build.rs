//! Generates the bank from its proto.

fn main() -> es_build::Result<()> {
    es_build::compile_protos(&["proto/bank/v1/account.proto"], &["proto"])
}
