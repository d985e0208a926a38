//! The stream's settings: which we ask for, and which a stream must have.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use es_core::{Error, Result};

/// What we ask for, before the user's own changes.
pub(super) fn wanted(name: &str, prefix: &str) -> Config {
    Config {
        name: name.to_owned(),
        subjects: vec![format!("{prefix}.>")],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        // A full stream refuses what is new: it is published when there is room again. Nothing is dropped for it.
        discard: DiscardPolicy::New,
        num_replicas: 1,
        deny_delete: true,
        deny_purge: true,
        allow_direct: true,
        description: Some("Events of one store, in order; only its relay publishes here".into()),
        ..Config::default()
    }
}

/// Refuses settings under which the stream could not be equal to the store.
pub(super) fn check(config: &Config) -> Result<()> {
    let wrong = [
        (config.retention != RetentionPolicy::Limits, "retention other than limits"),
        (config.discard != DiscardPolicy::New, "discarding of old messages"),
        (config.max_messages_per_subject > 0, "a limit of messages per subject"),
        (config.no_ack, "no acknowledgements"),
        (config.sealed, "a seal"),
        (config.mirror.is_some() || config.sources.is_some(), "messages of other streams"),
        (config.subject_transform.is_some(), "a transform of subjects"),
        (config.first_sequence.is_some_and(|first| first > 1), "a first sequence other than 1"),
        (config.allow_message_ttl, "messages that expire one by one"),
    ];
    match wrong.iter().find(|(is_wrong, _)| *is_wrong) {
        Some((_, what)) => Err(Error::InvalidRequest {
            why: format!("stream `{}` can't be a copy of a store with {what}; leave that setting alone", config.name),
        }),
        None => Ok(()),
    }
}

/// Refuses a stream whose settings differ from those asked for where that matters.
pub(super) fn compare(wanted: &Config, found: &Config) -> Result<()> {
    let differing: Vec<_> = essential(wanted)
        .into_iter()
        .zip(essential(found))
        .filter(|(wanted, found)| wanted != found)
        .map(|((name, wanted), (_, found))| format!("{name} is {found}, not {wanted}"))
        .collect();
    if differing.is_empty() {
        return check(found);
    }
    Err(Error::Refused {
        by: format!("stream `{}`", wanted.name),
        why: format!(
            "it exists with other settings: {}; change the stream, or ask the relay for what it is",
            differing.join(", ")
        ),
    })
}

fn essential(config: &Config) -> [(&'static str, String); 11] {
    // Servers write "none" as -1.
    let limit = |limit: i64| if limit > 0 { limit.to_string() } else { "none".to_owned() };
    [
        ("subjects", config.subjects.join(" ")),
        ("retention", format!("{:?}", config.retention)),
        ("storage", format!("{:?}", config.storage)),
        ("discard", format!("{:?}", config.discard)),
        ("replicas", config.num_replicas.to_string()),
        ("max_age", age(config.max_age)),
        ("max_msgs", limit(config.max_messages)),
        ("max_bytes", limit(config.max_bytes)),
        ("max_msgs_per_subject", limit(config.max_messages_per_subject)),
        ("deny_delete", config.deny_delete.to_string()),
        ("deny_purge", config.deny_purge.to_string()),
    ]
}

fn age(age: Duration) -> String {
    if age.is_zero() { "none".to_owned() } else { format!("{age:?}") }
}
