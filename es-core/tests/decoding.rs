//! What a hostile message costs. In a process of its own, since it measures the memory of all of it.

use es_core::{MethodInfo, QueryCall, Request};
use prost::Message as _;
use prost_types::{ListValue, Value};

const METHOD: MethodInfo = MethodInfo { service: "s.S", name: "M", input: "s.In", output: "s.Out" };

/// The most memory this process had at once, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Decoded, each of these empty messages would take as much as any other.
#[cfg(target_os = "linux")]
#[test]
fn half_a_million_empty_messages_in_a_megabyte_are_not_decoded() {
    let one = ListValue { values: vec![Value::default()] }.encode_to_vec();
    let body = one.repeat((1 << 20) / one.len());
    let request = Request::new("s.S", "M", body);
    let decoded = (1 << 20) / one.len() * size_of::<Value>();
    let before = peak();
    let error = QueryCall::<ListValue>::receive(request, &METHOD).unwrap_err().to_string();
    let grown = peak() - before;
    assert!(error.contains("more than 16384 values"), "{error}");
    assert!(grown * 4 < decoded as u64, "grew by {grown} bytes; decoded, it would be {decoded}");
}
