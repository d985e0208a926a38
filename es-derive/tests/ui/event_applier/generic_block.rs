use es_core::event_applier;

include!("../common/bank.rs");

struct Ledger<T>(T);

#[event_applier]
impl<T> Ledger<T> {
    fn opened(&mut self, _: &AccountOpened) {}
}

fn main() {}
