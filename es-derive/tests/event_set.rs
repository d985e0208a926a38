//! What `#[derive(EventSet)]` stores and finds again.

use es_core::error::DecodeError;
use es_core::{Encoded, Encoding, Event, EventSet};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct AccountOpened {
    owner: String,
    #[serde(default)]
    currency: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct MoneyDeposited {
    cents: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Closed;

#[derive(Clone, Debug, PartialEq, EventSet)]
#[events(package = "bank.v1")]
enum AccountEvent {
    #[event(version = 2, aliases("bank.v1.Opened", "bank.v0.AccountCreated"))]
    AccountOpened(AccountOpened),
    MoneyDeposited(MoneyDeposited),
    #[event(type = "bank.AccountClosed")]
    Closed(Closed),
}

fn opened() -> AccountEvent {
    AccountOpened { owner: "Ada".into(), currency: Some("EUR".into()) }.into()
}

fn encoded(event: &AccountEvent) -> Vec<u8> {
    let mut buffer = Vec::new();
    event.encode(&mut buffer).expect("plain values have JSON");
    buffer
}

fn stored<'a>(event_type: &'a str, payload: &'a [u8]) -> Encoded<'a> {
    Encoded { event_type, schema_version: 1, encoding: Encoding::Json, payload }
}

#[test]
fn an_event_comes_back_as_it_was() {
    for event in [opened(), MoneyDeposited { cents: -5 }.into(), Closed.into()] {
        let payload = encoded(&event);
        assert_eq!(AccountEvent::decode(stored(event.event_type(), &payload)).expect("its own bytes"), event);
    }
}

#[test]
fn an_event_is_appended_to_what_the_buffer_holds() {
    let mut buffer = b"before".to_vec();
    AccountEvent::from(MoneyDeposited { cents: 5 }).encode(&mut buffer).expect("plain values have JSON");
    assert_eq!(buffer, br#"before{"cents":5}"#);
}

#[test]
fn an_event_is_found_under_its_former_names() {
    let payload = br#"{"owner":"Ada"}"#;
    for name in ["bank.v1.AccountOpened", "bank.v1.Opened", "bank.v0.AccountCreated"] {
        let event = AccountEvent::decode(stored(name, payload)).expect("a name of the event");
        assert_eq!(event, AccountOpened { owner: "Ada".into(), currency: None }.into());
        AccountOpened::decode_stored(stored(name, payload)).expect("a name of the event");
    }
}

#[test]
fn an_unknown_name_is_refused() {
    let refused = AccountEvent::decode(stored("bank.v1.Closed", b"null")).expect_err("it has another name");
    assert!(matches!(refused, DecodeError::UnknownType(name) if name == "bank.v1.Closed"));
    assert!(MoneyDeposited::decode_stored(stored("bank.v1.Opened", b"{}")).is_err());
}

#[test]
fn another_encoding_is_refused() {
    let payload = encoded(&opened());
    let protobuf = Encoded { encoding: Encoding::Protobuf, ..stored("bank.v1.AccountOpened", &payload) };
    assert!(matches!(AccountEvent::decode(protobuf), Err(DecodeError::WrongEncoding { .. })));
}

#[test]
fn bytes_that_are_no_such_event_are_refused() {
    assert!(AccountEvent::decode(stored("bank.v1.MoneyDeposited", b"{}")).is_err());
    assert!(AccountEvent::decode(stored("bank.v1.MoneyDeposited", b"\xff")).is_err());
}

#[test]
fn the_set_tells_names_versions_and_encoding() {
    assert_eq!(
        AccountEvent::TYPES,
        [
            "bank.v1.AccountOpened",
            "bank.v1.Opened",
            "bank.v0.AccountCreated",
            "bank.v1.MoneyDeposited",
            "bank.AccountClosed"
        ]
    );
    assert_eq!(AccountOpened::TYPES, &AccountEvent::TYPES[..3]);
    assert_eq!(MoneyDeposited::TYPES, ["bank.v1.MoneyDeposited"]);
    assert_eq!((AccountOpened::SCHEMA_VERSION, MoneyDeposited::SCHEMA_VERSION), (2, 1));

    let deposited = AccountEvent::from(MoneyDeposited { cents: 5 });
    assert_eq!((opened().event_type(), opened().schema_version()), (AccountOpened::TYPE, 2));
    assert_eq!((deposited.event_type(), deposited.schema_version()), (MoneyDeposited::TYPE, 1));
    assert_eq!((opened().encoding(), AccountOpened::ENCODING), (Encoding::Json, Encoding::Json));
}
