//! Third step: every rule about the files, and the links between services, aggregates and events.
//!
//! Nothing stops at the first mistake: what is wrong is noted, left out, and the rest is checked.

mod aggregates;
mod by_name;
mod collisions;
mod events;
mod reserved;
mod services;
mod stored_names;
pub(crate) mod suggest;
mod targets;
mod upcasts;

use crate::{
    diagnostic::{Diagnostic, Span},
    error::{Error, Result},
    model::{System, declared::Protos},
};

/// What is generated besides messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Products {
    pub(crate) server: bool,
    pub(crate) client: bool,
}

/// Links what the files declare, or reports everything that is wrong with them.
pub(crate) fn check(protos: &Protos, products: Products) -> Result<System> {
    let mut report = Report { protos, found: Vec::new() };
    reserved::check(protos, &mut report);
    let mut aggregates = aggregates::link(protos, &mut report);
    events::link(protos, &mut aggregates, &mut report);
    stored_names::check(&aggregates, &mut report);
    let services = services::link(protos, &aggregates, &mut report);
    collisions::check(protos, &aggregates, products, &mut report);
    if report.found.is_empty() {
        let aggregates = aggregates.into_iter().map(|linked| linked.aggregate).collect();
        return Ok(System { aggregates, services });
    }
    Err(Error::from_diagnostics(report.found))
}

/// The mistakes found so far.
struct Report<'a> {
    protos: &'a Protos,
    found: Vec<Diagnostic>,
}

impl Report<'_> {
    fn error(&mut self, span: &Span, message: impl Into<String>) {
        self.found.push(Diagnostic::at(&self.protos.sources, span, message));
    }
}
