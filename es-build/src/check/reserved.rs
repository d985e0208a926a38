//! Options that are declared but do nothing yet: a file that sets one would rely on something that does not happen.

use super::Report;
use crate::model::declared::Protos;

/// Refuses every reserved option of a field.
pub(super) fn check(protos: &Protos, report: &mut Report<'_>) {
    for option in protos.messages.iter().flat_map(|message| &message.fields).flat_map(|field| &field.reserved) {
        let consequence = match option.value {
            "unique" => "; claim the key in the handler with `Root::claim`",
            "personal" | "subject" => ": the field would be stored in plain text",
            _ => "",
        };
        report.error(&option.span, format!("`{}` is not supported yet{consequence}", option.value));
    }
}
