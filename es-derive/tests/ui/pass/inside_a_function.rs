//! An aggregate of a test may live in the test's own body.
#![deny(warnings)]

fn main() {
    use es_core::{Aggregate, Applier, EventSet, event_applier};
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, Serialize, Deserialize)]
    struct Noted;

    #[derive(Clone, Debug, EventSet)]
    #[events(package = "notes.v1")]
    enum NoteEvent {
        Noted(Noted),
    }

    #[derive(Clone, Debug, Default, Aggregate)]
    #[aggregate(event = NoteEvent, type = "notes.v1.Note")]
    struct Note {
        count: u64,
    }

    #[event_applier]
    impl Note {
        fn noted(&mut self, _: &Noted) {
            self.count += 1;
        }
    }

    let mut note = Note::default();
    note.apply(&Noted.into());
    assert_eq!(note.count, 1);
}
