use es_core::event_applier;

include!("../common/bank.rs");

#[event_applier]
impl Account {
    fn opened(&mut self, event: &AccountOpened) {
        self.owner.clone_from(&event.owner);
    }

    fn deposited(&mut self, event: &'static MoneyDeposited) {
        self.cents += event.cents;
    }
}

fn main() {}
