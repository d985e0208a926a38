use es_core::event_applier;

include!("../common/bank.rs");

macro_rules! helpers {
    () => {};
}

#[event_applier]
impl Account {
    fn opened(&mut self, event: &AccountOpened) {
        self.owner.clone_from(&event.owner);
    }

    fn deposited(&mut self, event: &MoneyDeposited) {
        self.cents += event.cents;
    }

    const LIMIT: i64 = 100;

    helpers!();
}

fn main() {}
