//! Any type that has a default can be a state; a message needs no prost of the user's own.
#![deny(warnings)]

use es_core::{Aggregate, EventSet};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Noted;

#[derive(Clone, Debug, EventSet)]
#[events(package = "notes.v1")]
enum NoteEvent {
    Noted(Noted),
}

#[derive(Clone, Debug, Default, Aggregate)]
#[aggregate(event = NoteEvent, type = "notes.v1.Unit")]
struct Unit;

#[derive(Clone, Debug, Default, Serialize, Deserialize, Aggregate)]
#[aggregate(event = crate::NoteEvent, type = "notes.v1.Tuple", snapshot = serde)]
struct Tuple(u64, String);

#[derive(Clone, Debug, Default, Serialize, Deserialize, Aggregate)]
#[aggregate(event = NoteEvent, type = "notes.v1.Choice", snapshot = serde)]
enum Choice {
    #[default]
    Open,
    Closed {
        by: String,
    },
}

#[derive(Clone, PartialEq, es_core::codegen::prost::Message, Aggregate)]
#[prost(prost_path = "es_core::codegen::prost")]
#[aggregate(event = NoteEvent, type = "notes.v1.Message", snapshot = prost)]
struct Message {
    #[prost(string, tag = "1")]
    text: String,
}

fn main() {
    assert_eq!(Unit::STATE_FINGERPRINT, 0);
    assert!(Unit.snapshot().is_none() && Unit::restore(&[]).is_none());

    let kept = Tuple(7, "seven".into()).snapshot().expect("JSON");
    assert_eq!(Tuple::restore(&kept).expect("the same").1, "seven");

    let kept = Choice::Closed { by: "Ada".into() }.snapshot().expect("JSON");
    assert!(matches!(Choice::restore(&kept), Some(Choice::Closed { by }) if by == "Ada"));

    let kept = Message { text: "hello".into() }.snapshot().expect("a message");
    assert_eq!(Message::restore(&kept).expect("the same").text, "hello");
    assert!(Message::restore(&[0xff]).is_none());
}
