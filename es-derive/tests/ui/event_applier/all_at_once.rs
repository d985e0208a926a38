use es_core::event_applier;

include!("../common/bank.rs");

#[event_applier(strict)]
impl Account {
    const LIMIT: i64 = 100;

    async fn opened(self, event: AccountOpened, version: u64) -> u64 {
        let _ = event;
        version
    }

    fn deposited(&mut self, event: &MoneyDeposited) {
        self.cents += event.cents;
    }

    fn counted(&mut self, event: &MoneyDeposited) {
        self.cents += event.cents;
    }

    fn balance(&self) {}

    fn unknown(&mut self, _: &String) {}
}

fn takes_appliers(_: impl es_core::Applier) {}

fn uses_of_the_aggregate_are_no_mistake() {
    takes_appliers(Account::default());
}

fn main() {}
