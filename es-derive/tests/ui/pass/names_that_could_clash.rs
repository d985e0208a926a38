//! The user's names mean the user's things, also where the expansions have names of their own.
#![deny(warnings)]
#![no_implicit_prelude]

use ::core::clone::Clone;
use ::core::default::Default;
use ::core::fmt::Debug;
use ::es_core::event_applier;
use ::serde::{Deserialize, Serialize};

pub mod core {}
pub mod std {}
pub mod es_core {}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Event;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Set;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct A;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Option;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(non_camel_case_types)]
struct r#type;

#[derive(Clone, Debug, ::es_core::EventSet)]
#[events(package = "bank.v1")]
#[allow(non_camel_case_types)]
enum EventSet {
    Event(Event),
    Set(Set),
    Result(A),
    Option(Option),
    r#type(r#type),
}

#[derive(Clone, Debug, Default, ::es_core::Aggregate)]
#[aggregate(event = EventSet, type = "bank.v1.Aggregate")]
struct Aggregate {
    handled: u8,
}

#[event_applier]
impl Aggregate {
    fn handle(&mut self, _: &Event) {
        self.handled += 1;
    }

    fn apply(&mut self, event: &Set) {
        let _ = event;
        self.handled += 10;
    }

    fn apply_to(&mut self, _: &A) {
        self.handled += 100;
    }

    fn default(&mut self, _: &Option) {}

    fn r#type(&mut self, _: &r#type) {}
}

fn main() {
    let mut aggregate = <Aggregate as Default>::default();
    for event in [EventSet::Event(Event), EventSet::Set(Set), EventSet::Result(A)] {
        ::es_core::Applier::apply(&mut aggregate, &event);
    }
    ::core::assert_eq!(aggregate.handled, 111);
    ::core::assert_eq!(::es_core::EventSet::event_type(&EventSet::r#type(r#type)), "bank.v1.type");
}
