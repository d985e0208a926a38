use es_core::EventSet;

#[derive(Clone, Debug)]
struct AccountOpened;

#[derive(Clone, Debug, EventSet)]
#[events(package = "bank.v1")]
enum AccountEvent {
    AccountOpened(AccountOpened),
}

fn main() {}
