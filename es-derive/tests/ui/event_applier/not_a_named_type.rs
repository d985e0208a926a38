use es_core::event_applier;

include!("../common/bank.rs");

trait Ledger {}

#[event_applier]
impl dyn Ledger {
    fn opened(&mut self, _: &AccountOpened) {}
}

fn main() {}
