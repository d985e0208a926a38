use es_core::event_applier;

include!("../common/bank.rs");

#[event_applier]
impl Acount {
    fn opened(&mut self, _: &AccountOpened) {}

    fn deposited(&mut self, _: &MoneyDeposited) {}
}

fn main() {}
