use es_core::event_applier;

include!("../common/bank.rs");

#[event_applier]
impl Account {}

fn main() {}
