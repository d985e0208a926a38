//! Moving a program from one process to many machines, over NATS.
//!
//! Nothing is here yet. What will be, and what the wire form fixed in `proto/eventsourcing` already provides for:
//!
//! * a [`Transport`](es_core::Transport) that carries the calls of every generated client over NATS, and a server that
//!   serves every [`Service`](es_core::Service) as a NATS service endpoint. Subject `{package}.{Service}.{Method}`,
//!   body the encoded message, answer an [`es_core::wire::Response`];
//! * a relay that publishes each event as an [`es_core::wire::Envelope`] to JetStream, in order of position;
//! * subscriptions that feed a projection in another process.
//!
//! Until then [`LocalBus`](es_core::LocalBus) serves the same generated servers to the same generated clients within
//! one process; moving them here will change their wiring only.
