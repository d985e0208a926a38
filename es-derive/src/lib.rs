//! The macros of es-core: `#[derive(Aggregate)]`, `#[derive(EventSet)]`, `#[event_applier]`.
//!
//! Use them through es-core, which re-exports them; their output refers to `::es_core::codegen` only. Each macro reads its
//! input into a model (`parse`), checks it (`check`) and writes code from it (`expand`). A macro call reports all its
//! mistakes, each at its own token.

mod aggregate;
mod attribute;
mod carried;
mod errors;
mod event_applier;
mod event_set;
mod fingerprint;
mod name;
mod source;
#[cfg(test)]
mod testing;

use proc_macro::TokenStream;

/// Makes a struct or an enum the state of an aggregate.
///
/// es-build adds it to every message with `(eventsourcing.aggregate_root)`; write it only on states that are plain Rust.
/// The state also derives `Clone`, `Debug` and `Default`: a stream without events has the default state.
///
/// ```
/// use es_core::{Aggregate, EventSet};
/// use serde::{Deserialize, Serialize};
/// # #[derive(Clone, Debug, Serialize, Deserialize)] struct AccountOpened;
/// # #[derive(Clone, Debug, EventSet)] #[events(package = "bank.v1")] enum AccountEvent { AccountOpened(AccountOpened) }
///
/// #[derive(Clone, Debug, Default, Serialize, Deserialize, Aggregate)]
/// #[aggregate(event = AccountEvent, type = "bank.v1.Account", snapshot = serde)]
/// struct Account {
///     owner: String,
///     cents: i64,
/// }
/// ```
///
/// | key | meaning |
/// |---|---|
/// | `event = AccountEvent` | the aggregate's [`EventSet`](macro@EventSet); required |
/// | `type = "bank.v1.Account"` | the stream type its streams are stored under; required, because it must survive renames in the code |
/// | `snapshot = prost`, `serde` or `none` | how the state is kept between loads: as a protobuf message, as JSON (feature `serde` of es-core), or not at all, which is the default |
/// | `snapshot_version = 2` | increase it to discard old snapshots although the state's declaration is unchanged |
///
/// # Expands to
///
/// ```
/// # use es_core::EventSet;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Clone, Debug, Serialize, Deserialize)] struct AccountOpened;
/// # #[derive(Clone, Debug, EventSet)] #[events(package = "bank.v1")] enum AccountEvent { AccountOpened(AccountOpened) }
/// # #[derive(Clone, Debug, Default, Serialize, Deserialize)] struct Account { owner: String, cents: i64 }
/// impl ::es_core::codegen::Aggregate for Account {
///     type Event = AccountEvent;
///     const TYPE: &'static str = "bank.v1.Account";
///     const STATE_FINGERPRINT: u64 = 0x2dd7_a3e1_9c40_55b8;
///
///     fn snapshot(&self) -> Option<Vec<u8>> {
///         ::es_core::codegen::snapshot_json(self)
///     }
///
///     fn restore(snapshot: &[u8]) -> Option<Self> {
///         ::es_core::codegen::restore_json(snapshot)
///     }
/// }
/// ```
///
/// The fingerprint is FNV-1a over the state's name, the names and types of its fields in order, their `#[prost(..)]` or
/// `#[serde(..)]` attributes, and the snapshot version. Comments and layout do not count. A snapshot with another
/// fingerprint is ignored and the events are replayed. The macro does not see the declarations of the fields' types: when
/// one of them changes under the same name, increase `snapshot_version`.
#[proc_macro_derive(Aggregate, attributes(aggregate))]
pub fn derive_aggregate(input: TokenStream) -> TokenStream {
    aggregate::derive(input.into()).into()
}

/// Makes an enum of plain Rust structs the events of an aggregate, stored as JSON (feature `serde` of es-core).
///
/// Each variant holds one event, a type of the same crate that derives `Clone`, `Debug`, `Serialize` and `Deserialize`.
/// Events declared in proto do not need this: es-build generates the same.
///
/// ```
/// use es_core::EventSet;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, Serialize, Deserialize)]
/// struct AccountOpened {
///     owner: String,
/// }
///
/// #[derive(Clone, Debug, Serialize, Deserialize)]
/// struct MoneyDeposited {
///     cents: i64,
/// }
///
/// #[derive(Clone, Debug, EventSet)]
/// #[events(package = "bank.v1")]
/// enum AccountEvent {
///     #[event(version = 2, aliases("bank.v1.Opened"))]
///     AccountOpened(AccountOpened),
///     MoneyDeposited(MoneyDeposited),
/// }
///
/// assert_eq!(AccountEvent::TYPES, ["bank.v1.AccountOpened", "bank.v1.Opened", "bank.v1.MoneyDeposited"]);
/// ```
///
/// An event is stored under `{package}.{variant}`. The keys of `#[event(..)]`, on a variant:
///
/// | key | meaning |
/// |---|---|
/// | `type = "bank.v1.Opened"` | the full name it is stored under, if that is another; if every variant has one, `#[events(..)]` is not needed |
/// | `version = 2` | the schema version stored beside it; 1 when not given |
/// | `aliases("bank.v1.Opened")` | former full names; events stored under them are still read |
///
/// # Expands to
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Clone, Debug, Serialize, Deserialize)] struct AccountOpened { owner: String }
/// # #[derive(Clone, Debug)] enum AccountEvent { AccountOpened(AccountOpened) }
/// use es_core::codegen::*;
///
/// impl Event for AccountOpened {
///     const TYPE: &'static str = "bank.v1.AccountOpened";
///     const TYPES: &'static [&'static str] = &["bank.v1.AccountOpened", "bank.v1.Opened"];
///     const SCHEMA_VERSION: u32 = 2;
///     const ENCODING: Encoding = Encoding::Json;
///
///     fn encode(&self, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
///         encode_json(self, buffer)
///     }
///
///     fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
///         decode_json(payload)
///     }
/// }
///
/// impl From<AccountOpened> for AccountEvent {
///     fn from(event: AccountOpened) -> Self {
///         Self::AccountOpened(event)
///     }
/// }
///
/// impl EventOf<AccountEvent> for AccountOpened {}
///
/// // and for the enum, with one arm per event:
/// impl EventSet for AccountEvent {
///     const TYPES: &'static [&'static str] = &["bank.v1.AccountOpened", "bank.v1.Opened"];
///
///     fn event_type(&self) -> &'static str {
///         match self {
///             Self::AccountOpened(_) => "bank.v1.AccountOpened",
///         }
///     }
///
///     fn schema_version(&self) -> u32 {
///         match self {
///             Self::AccountOpened(_) => 2,
///         }
///     }
///
///     fn encoding(&self) -> Encoding {
///         Encoding::Json
///     }
///
///     fn encode(&self, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
///         fn encode<E: Event>(event: &E, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
///             event.encode(buffer)
///         }
///         match self {
///             Self::AccountOpened(event) => encode(event, buffer),
///         }
///     }
///
///     fn decode(event: Encoded<'_>) -> Result<Self, DecodeError> {
///         fn decode<E: EventOf<AccountEvent>>(event: Encoded<'_>) -> Result<AccountEvent, DecodeError> {
///             E::decode_stored(event).map(E::into)
///         }
///         match event.event_type {
///             "bank.v1.AccountOpened" | "bank.v1.Opened" => decode::<AccountOpened>(event),
///             other => Err(DecodeError::unknown_type(other)),
///         }
///     }
/// }
///
/// impl<A> ApplyTo<A> for AccountEvent
/// where
///     A: Handles<AccountOpened>,
/// {
///     fn apply_to(&self, aggregate: &mut A) {
///         match self {
///             Self::AccountOpened(event) => Handles::handle(aggregate, event),
///         }
///     }
/// }
/// ```
#[proc_macro_derive(EventSet, attributes(events, event))]
pub fn derive_event_set(input: TokenStream) -> TokenStream {
    event_set::derive(input.into()).into()
}

/// Makes the methods of a block the handlers of an aggregate's events: one method per event, under any name.
///
/// A handler only changes the state: the event has already happened, so it can't be refused, and the handler returns
/// nothing. Methods and events are matched by the event's type. An event without a method does not compile, nor does a
/// method for another aggregate's event. Put other methods of the aggregate into a separate `impl` block.
///
/// ```
/// use es_core::{Aggregate, Applier, EventSet, event_applier};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Clone, Debug, Serialize, Deserialize)] struct AccountOpened { owner: String }
/// # #[derive(Clone, Debug, Serialize, Deserialize)] struct MoneyDeposited { cents: i64 }
/// # #[derive(Clone, Debug, EventSet)] #[events(package = "bank.v1")]
/// # enum AccountEvent { AccountOpened(AccountOpened), MoneyDeposited(MoneyDeposited) }
///
/// #[derive(Clone, Debug, Default, Aggregate)]
/// #[aggregate(event = AccountEvent, type = "bank.v1.Account")]
/// struct Account {
///     owner: String,
///     cents: i64,
/// }
///
/// #[event_applier]
/// impl Account {
///     fn opened(&mut self, event: &AccountOpened) {
///         self.owner = event.owner.clone();
///     }
///
///     fn deposited(&mut self, event: &MoneyDeposited) {
///         self.cents += event.cents;
///     }
/// }
///
/// let mut account = Account::default();
/// account.apply(&AccountOpened { owner: "Ada".into() }.into());
/// account.apply(&MoneyDeposited { cents: 500 }.into());
/// assert_eq!((account.owner.as_str(), account.cents), ("Ada", 500));
/// ```
///
/// # Expands to
///
/// The unchanged block, and:
///
/// ```
/// # use es_core::{Aggregate, EventSet};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Clone, Debug, Serialize, Deserialize)] struct AccountOpened { owner: String }
/// # #[derive(Clone, Debug, EventSet)] #[events(package = "bank.v1")] enum AccountEvent { AccountOpened(AccountOpened) }
/// # #[derive(Clone, Debug, Default, Aggregate)] #[aggregate(event = AccountEvent, type = "bank.v1.Account")]
/// # struct Account { owner: String }
/// # impl Account { fn opened(&mut self, event: &AccountOpened) { self.owner = event.owner.clone(); } }
/// use es_core::codegen::{Applier, ApplyTo, EventOf, Handles};
///
/// // for each method, under the method's own `#[cfg]` and `#[allow]`:
/// fn takes_only_its_own_events<Set: EventSet, Event: EventOf<Set>>() {}
///
/// impl Handles<AccountOpened> for Account {
///     fn handle(&mut self, event: &AccountOpened) {
///         takes_only_its_own_events::<<Self as Aggregate>::Event, AccountOpened>();
///         Self::opened(self, event)
///     }
/// }
///
/// impl Applier for Account {
///     const APPLIER_FINGERPRINT: u64 = 0x51c0_6a2f_e8b3_7d94;
///
///     fn apply(&mut self, event: &Self::Event) {
///         ApplyTo::apply_to(event, self)
///     }
/// }
/// ```
///
/// The fingerprint is FNV-1a over the block's code, without comments and layout: a snapshot made by other handlers is
/// ignored and the events are replayed. Conditions (`#[cfg(..)]`, `cfg!(..)`) count by whether they hold. The macro does
/// not see the code that a handler calls: when that changes, increase the aggregate's `snapshot_version`.
#[proc_macro_attribute]
pub fn event_applier(arguments: TokenStream, item: TokenStream) -> TokenStream {
    event_applier::apply(arguments.into(), item.into()).into()
}
