//! What `#[event_applier]` knows about a block.

use syn::{Attribute, Ident, Type};

/// A block of event handlers.
pub(crate) struct Applier<'a> {
    /// The aggregate.
    pub(crate) state: &'a Type,
    /// The attributes of the block that hold for what is written beside it.
    pub(crate) attributes: Vec<Attribute>,
    /// Its methods.
    pub(crate) handlers: Vec<Handler<'a>>,
}

/// One method of the block.
pub(crate) struct Handler<'a> {
    /// Its name.
    pub(crate) method: &'a Ident,
    /// The event: the parameter's type without its `&`.
    pub(crate) event: &'a Type,
    /// The attributes of the method that hold for its impl.
    pub(crate) attributes: Vec<Attribute>,
}

impl Handler<'_> {
    /// Whether some builds leave this method out.
    pub(crate) fn is_conditional(&self) -> bool {
        self.attributes.iter().any(|attribute| attribute.path().is_ident("cfg"))
    }
}
