//! Compiles `.proto` files from the command line: `generate <include> <out> <file>..`.

fn main() -> es_build::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [include, out, files @ ..] = arguments.as_slice() else {
        eprintln!("usage: generate <include> <out> <file>..");
        std::process::exit(2);
    };
    es_build::configure().out_dir(out).emit_rerun_if_changed(false).compile_protos(files, &[include])
}
