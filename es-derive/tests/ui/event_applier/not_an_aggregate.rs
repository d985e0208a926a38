use es_core::event_applier;

include!("../common/bank.rs");

struct Ledger;

#[event_applier]
impl Ledger {
    fn opened(&mut self, _: &AccountOpened) {}

    fn deposited(&mut self, _: &MoneyDeposited) {}
}

fn main() {}
