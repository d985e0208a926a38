use es_core::event_applier;

#[event_applier]
struct Handlers;

fn main() {}
