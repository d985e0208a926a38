//! Which aggregate a command is for: the one its id field names, or a new one.

use super::{
    Report,
    suggest::{is_lookalike, is_plain_id},
};
use crate::model::{
    Aggregate, IdField, Target,
    declared::{Kind, Message, Method, Protos},
};

/// The target of a command, by whether its message has the aggregate's id field and what the rpc says.
pub(super) fn target(protos: &Protos, method: &Method, aggregate: &Aggregate, report: &mut Report<'_>) -> Target {
    let id_field = &aggregate.id_field;
    let Some(message) = protos.message(&method.input) else { return Target::Mint };
    // A root without its id field is reported at the root, not at every command.
    let has_id = |root: &Message| root.fields.iter().any(|field| field.name == *id_field);
    if !protos.message(&aggregate.root).is_some_and(has_id) {
        return Target::Mint;
    }
    let creates = method.creates.as_ref();
    if let Some(field) = message.fields.iter().find(|field| field.name == *id_field) {
        let id = IdField { name: field.name.clone(), optional: field.kind == Kind::OptionalText };
        if let Kind::Other(kind) = &field.kind {
            let text = format!(
                "field `{id_field}` of command `{}` names the aggregate `{}` and must be a `string`, not `{kind}`",
                message.name.simple(),
                aggregate.name
            );
            report.error(&field.span, text);
        }
        return if creates.is_some_and(|creates| creates.value) { Target::Create(id) } else { Target::Existing(id) };
    }
    match creates {
        Some(creates) if !creates.value => {
            let text = format!(
                "`creates: false` needs a field that names the aggregate, but `{}` has no `{id_field}`; add \
                 `string {id_field}`, or remove `creates: false`",
                message.name.simple()
            );
            report.error(&creates.span, text);
        }
        Some(_) => {}
        None => {
            let is_text = |kind: &Kind| matches!(kind, Kind::Text | Kind::OptionalText);
            let texts = || message.fields.iter().filter(|field| is_text(&field.kind));
            let similar = texts().find(|field| is_lookalike(&field.name, id_field));
            if let Some(field) = similar.or_else(|| texts().find(|field| is_plain_id(&field.name))) {
                let text = format!(
                    "command `{}` has no field `{id_field}`; did you mean it by `{}`? Rename the field, or mark rpc `{}` \
                     with `option (eventsourcing.command) = {{ creates: true }}` if it creates the aggregate `{}`",
                    message.name.simple(),
                    field.name,
                    method.name,
                    aggregate.name
                );
                report.error(&field.span, text);
            }
        }
    }
    Target::Mint
}
