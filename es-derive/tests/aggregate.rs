//! What `#[derive(Aggregate)]` keeps, and when it would not trust what was kept.

use es_core::{Aggregate, EventSet};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Noted;

#[derive(Clone, Debug, EventSet)]
#[events(package = "notes.v1")]
enum NoteEvent {
    Noted(Noted),
}

#[test]
fn a_message_is_kept_as_protobuf() {
    #[derive(Clone, PartialEq, es_core::codegen::prost::Message, Aggregate)]
    #[prost(prost_path = "es_core::codegen::prost")]
    #[aggregate(event = NoteEvent, type = "notes.v1.Note", snapshot = prost)]
    struct Note {
        #[prost(string, tag = "1")]
        text: String,
    }

    let note = Note { text: "hi".into() };
    assert_eq!(note.snapshot().expect("a message has bytes"), b"\x0a\x02hi");
    assert_eq!(Note::restore(b"\x0a\x02hi").expect("its own bytes"), note);
    assert_eq!(Note::restore(b"\x0a\x7f"), None);
    assert_eq!(Note::TYPE, "notes.v1.Note");
}

#[test]
fn a_state_is_kept_as_json() {
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Aggregate)]
    #[aggregate(event = NoteEvent, type = "notes.v1.Note", snapshot = serde)]
    struct Note {
        text: String,
    }

    let note = Note { text: "hi".into() };
    assert_eq!(note.snapshot().expect("plain values have JSON"), br#"{"text":"hi"}"#);
    assert_eq!(Note::restore(br#"{"text":"hi"}"#).expect("its own bytes"), note);
    assert_eq!(Note::restore(b"{}"), None);
}

#[test]
fn a_state_is_not_kept_unless_it_says_so() {
    #[derive(Clone, Debug, Default, Aggregate)]
    #[aggregate(event = NoteEvent, type = "notes.v1.Note")]
    struct Note;

    #[derive(Clone, Debug, Default, Aggregate)]
    #[aggregate(event = NoteEvent, type = "notes.v1.Note", snapshot = none)]
    struct Never;

    assert!(Note.snapshot().is_none() && Note::restore(b"").is_none());
    assert!(Never.snapshot().is_none() && Never::restore(b"").is_none());
    assert_eq!((Note::STATE_FINGERPRINT, Never::STATE_FINGERPRINT), (0, 0));
}

/// The fingerprint of a state that is kept as JSON.
macro_rules! fingerprint {
    ([$($key:tt)*] $(#[$attribute:meta])* $kind:ident $name:ident $($body:tt)*) => {{
        #[allow(dead_code)]
        #[derive(Clone, Debug, Default, Serialize, Deserialize, Aggregate)]
        #[aggregate(event = NoteEvent, type = "notes.v1.Note", snapshot = serde $($key)*)]
        $(#[$attribute])*
        $kind $name $($body)*
        $name::STATE_FINGERPRINT
    }};
}

#[test]
fn comments_and_layout_do_not_change_the_fingerprint() {
    let plain = fingerprint!([] struct Note { text: Vec<String>, count: u64 });
    let commented = fingerprint!([]
        /// A note.
        struct Note {
            // why
            text: Vec < String >,
            /// How many.
            #[allow(unused)]
            count: u64,
        }
    );
    assert_eq!(plain, commented);
    assert_ne!(plain, 0);
}

#[test]
fn a_name_a_type_an_order_or_a_version_changes_the_fingerprint() {
    let all = [
        fingerprint!([] struct Note { text: String, count: u64 }),
        fingerprint!([] struct Memo { text: String, count: u64 }),
        fingerprint!([] struct Note { count: u64, text: String }),
        fingerprint!([] struct Note { text: String, counts: u64 }),
        fingerprint!([] struct Note { text: String, count: u32 }),
        fingerprint!([] struct Note { text: String }),
        fingerprint!([] struct Note { text: String, #[serde(rename = "n")] count: u64 }),
        fingerprint!([] #[serde(rename_all = "UPPERCASE")] struct Note { text: String, count: u64 }),
        fingerprint!([, snapshot_version = 1] struct Note { text: String, count: u64 }),
        fingerprint!([, snapshot_version = 2] struct Note { text: String, count: u64 }),
        fingerprint!([] struct Note(String, u64);),
        fingerprint!([] enum Note { #[default] Open, Closed { by: String } }),
        fingerprint!([] enum Note { #[default] Open, Closed(String) }),
        fingerprint!([] enum Note { #[default] Open, Shut { by: String } }),
    ];
    for (index, fingerprint) in all.iter().enumerate() {
        assert!(!all[..index].contains(fingerprint), "fingerprint {index} is not its own");
    }
}

#[test]
fn a_message_s_tags_are_part_of_its_fingerprint() {
    macro_rules! tagged {
        ($tag:literal) => {{
            #[derive(Clone, PartialEq, es_core::codegen::prost::Message, Aggregate)]
            #[prost(prost_path = "es_core::codegen::prost")]
            #[aggregate(event = NoteEvent, type = "notes.v1.Note", snapshot = prost)]
            struct Note {
                #[prost(string, tag = $tag)]
                text: String,
            }
            Note::STATE_FINGERPRINT
        }};
    }
    assert_ne!(tagged!("1"), tagged!("2"));
    assert_eq!(tagged!("1"), tagged!("1"));
}
