//! The shape of an event handler: `fn opened(&mut self, event: &AccountOpened)`.

use quote::ToTokens;
use syn::{FnArg, PatType, ReceiverKind, ReturnType, Safety, Signature, Type};

use crate::errors::Errors;
use crate::source::shown;

/// The event a method handles, when the method has a handler's shape; else every part that is out of shape is noted.
pub(super) fn event<'a>(signature: &'a Signature, errors: &mut Errors) -> Option<&'a Type> {
    let is_plain = check_qualifiers(signature, errors);
    let changes_the_state = check_receiver(signature, errors);
    let event = parameter(signature, errors).and_then(|parameter| borrowed(&parameter.ty, errors));
    let returns_nothing = check_output(signature, errors);
    event.filter(|_| is_plain && changes_the_state && returns_nothing)
}

fn check_qualifiers(signature: &Signature, errors: &mut Errors) -> bool {
    let mut is_plain = true;
    let mut refuse = |found: Option<&dyn ToTokens>, message| {
        if let Some(tokens) = found {
            errors.at(tokens, message);
            is_plain = false;
        }
    };
    let unsafety = match &signature.safety {
        Safety::Unsafe(token) => Some(token as &dyn ToTokens),
        _ => None,
    };
    let generics = &signature.generics;
    let has_parameters = !generics.params.is_empty();
    refuse(
        signature.constness.as_ref().map(|token| token as _),
        "an event handler is not `const`: it changes the state at run time",
    );
    refuse(
        signature.asyncness.as_ref().map(|token| token as _),
        "an event handler is not `async`: it only changes the state; \
         work that waits belongs in a command handler or a projection",
    );
    refuse(
        unsafety,
        "an event handler is not `unsafe`: it is called for every event, by code that knows no preconditions",
    );
    refuse(signature.abi.as_ref().map(|token| token as _), "an event handler is not `extern`: it is called from Rust");
    refuse(
        has_parameters.then_some(generics as _),
        "an event handler is not generic: it handles one event; a shared helper belongs in a separate `impl` block",
    );
    refuse(
        generics.where_clause.as_ref().filter(|_| !has_parameters).map(|clause| clause as _),
        "an event handler has no `where` clause: it is called for every event of its type",
    );
    is_plain
}

fn check_receiver(signature: &Signature, errors: &mut Errors) -> bool {
    let name = &signature.ident;
    let Some(receiver) = signature.receiver() else {
        errors.at(
            name,
            format_args!(
                "`{name}` has no `&mut self`: an event handler changes the state; \
                 a helper belongs in a separate `impl` block"
            ),
        );
        return false;
    };
    let changes_the_state = match &receiver.kind {
        ReceiverKind::Reference(_, _, mutability) => mutability.is_some(),
        ReceiverKind::Typed(_, of) => {
            matches!(&**of, Type::Reference(of) if of.mutability.is_some() && is_self(&of.elem))
        }
        _ => false,
    };
    if !changes_the_state {
        errors.at(
            receiver,
            "an event handler changes the state: it takes `&mut self`; a helper belongs in a separate `impl` block",
        );
    }
    changes_the_state
}

fn is_self(of: &Type) -> bool {
    matches!(of, Type::Path(path) if path.path.is_ident("Self"))
}

/// The one parameter beside the receiver.
fn parameter<'a>(signature: &'a Signature, errors: &mut Errors) -> Option<&'a PatType> {
    let parameters: Vec<&PatType> = signature
        .inputs
        .iter()
        .filter_map(|input| match input {
            FnArg::Typed(parameter) => Some(parameter),
            FnArg::Receiver(_) => None,
        })
        .collect();
    match parameters.as_slice() {
        [event] => Some(event),
        [] => {
            let name = &signature.ident;
            errors.at(
                name,
                format_args!(
                    "`{name}` takes no event: an event handler is `fn {name}(&mut self, event: &..)`; \
                     a helper belongs in a separate `impl` block"
                ),
            );
            None
        }
        [_, more @ ..] => {
            let message = "an event handler takes one event and nothing else: everything it needs is in the event";
            more.iter().for_each(|parameter| errors.at(parameter, message));
            None
        }
    }
}

/// The event behind the `&`.
fn borrowed<'a>(parameter: &'a Type, errors: &mut Errors) -> Option<&'a Type> {
    let parameter = ungrouped(parameter);
    let Type::Reference(reference) = parameter else {
        errors.at(parameter, format_args!("an event handler borrows its event: `&{}`", shown(parameter)));
        return None;
    };
    if let Some(mutability) = &reference.mutability {
        errors.at(mutability, "an event can't be changed after it happened: take `&` instead of `&mut`");
        return None;
    }
    if let Some(lifetime) = reference.lifetime.as_ref().filter(|lifetime| lifetime.ident == "static") {
        errors.at(lifetime, "an event is borrowed only for the call: take `&` without `'static`");
        return None;
    }
    let event = ungrouped(&reference.elem);
    if !matches!(event, Type::Path(_) | Type::Macro(_)) {
        errors.at(event, "an event is a named type: `&AccountOpened`");
        return None;
    }
    Some(event)
}

/// The type inside parentheses and a macro's invisible delimiters.
fn ungrouped(of: &Type) -> &Type {
    match of {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(paren) => ungrouped(&paren.elem),
        other => other,
    }
}

fn check_output(signature: &Signature, errors: &mut Errors) -> bool {
    let ReturnType::Type(_, output) = &signature.output else { return true };
    let returns_nothing = matches!(&**output, Type::Tuple(unit) if unit.elems.is_empty());
    if !returns_nothing {
        errors.at(
            &signature.output,
            "an event handler returns nothing: the event has happened and can't be refused; refuse in the command handler",
        );
    }
    returns_nothing
}
