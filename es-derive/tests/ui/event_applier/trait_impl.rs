use es_core::event_applier;

include!("../common/bank.rs");

trait Handlers {
    fn opened(&mut self, event: &AccountOpened);
}

#[event_applier]
impl Handlers for Account {
    fn opened(&mut self, event: &AccountOpened) {
        self.owner.clone_from(&event.owner);
    }
}

fn main() {}
