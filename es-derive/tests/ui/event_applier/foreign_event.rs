use es_core::event_applier;

include!("../common/bank.rs");

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct CardBlocked;

#[derive(Clone, Debug, es_core::EventSet)]
#[events(package = "bank.v1")]
enum CardEvent {
    CardBlocked(CardBlocked),
}

#[event_applier]
impl Account {
    fn opened(&mut self, event: &AccountOpened) {
        self.owner.clone_from(&event.owner);
    }

    fn deposited(&mut self, event: &MoneyDeposited) {
        self.cents += event.cents;
    }

    fn blocked(&mut self, _: &CardBlocked) {}
}

fn main() {}
