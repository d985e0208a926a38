//! Proto comments made fit to be rustdoc.
//!
//! Comments are written for people, in no particular markup; rustdoc reads Markdown and runs code blocks. Here they are
//! changed once, in the descriptors, so that the messages (by prost-build) and our own items carry the same text.

use prost_types::SourceCodeInfo;

/// Makes every comment of a file fit for prost-build.
pub(crate) fn sanitize(info: &mut SourceCodeInfo) {
    for location in &mut info.location {
        for comment in [&mut location.leading_comments, &mut location.trailing_comments] {
            *comment = comment.as_deref().map(for_prost).filter(|text| !text.is_empty());
        }
        location.leading_detached_comments.clear();
    }
}

/// prost-build puts a space before a line unless it starts with exactly one; indented lines are handed over as they are.
fn for_prost(comment: &str) -> String {
    let spaced = |line: &String| match line.starts_with(' ') || line.is_empty() {
        true => format!("{line}\n"),
        false => format!(" {line}\n"),
    };
    fit(comment).iter().map(spaced).collect()
}

/// The lines of a comment as documentation of our own items: as prost-build shows them on messages.
pub(crate) fn documentation(comment: &str) -> Vec<String> {
    fit(comment).iter().map(|line| mark_links(line)).collect()
}

/// One comment: code blocks become text, list items keep their lines together, and nothing reads as HTML.
fn fit(comment: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut fence: Option<String> = None;
    // Where the text of the current list item begins.
    let mut item = 0;
    for raw in comment.lines() {
        // The space that stands between the slashes and the text.
        let line = raw.strip_prefix(' ').unwrap_or(raw).replace('\t', "    ");
        let line = line.trim_end();
        let text = line.trim_start();
        if let Some(mark) = &fence {
            let closes = text.starts_with(mark.as_str()) && text.trim_start_matches(['`', '~']).is_empty();
            lines.push(if closes { mark.clone() } else { line.to_owned() });
            fence = fence.filter(|_| !closes);
        } else if let Some(mark) = fence_of(text) {
            lines.push(format!("{mark}text"));
            fence = Some(mark);
            item = 0;
        } else if let Some(width) = marker_width(text) {
            item = width;
            lines.push(escape(text));
        } else {
            // Indented by four spaces it would be a code block; in a list item it is indented as far as the item's text.
            item = if text.is_empty() { 0 } else { item };
            lines.push(format!("{}{}", " ".repeat(item), escape(text)));
        }
    }
    // An open fence would swallow what follows.
    lines.extend(fence);
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.drain(..lines.iter().take_while(|line| line.is_empty()).count());
    lines
}

/// The backticks or tildes that open a code block.
fn fence_of(text: &str) -> Option<String> {
    ['`', '~'].into_iter().find_map(|mark| {
        let width = text.chars().take_while(|&c| c == mark).count();
        (width >= 3).then(|| mark.to_string().repeat(width))
    })
}

/// Width of the marker of a list item, with the space after it.
fn marker_width(text: &str) -> Option<usize> {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let marker = match text.chars().next()? {
        '-' | '*' | '+' => 1,
        _ if (1..=9).contains(&digits) && text[digits..].starts_with(['.', ')']) => digits + 1,
        _ => return None,
    };
    text[marker..].starts_with(' ').then_some(marker + 1)
}

/// `List<Account>` is meant as written, not as an HTML element; code between backticks is left alone.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut code = false;
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        code ^= character == '`';
        let opens = character == '<' && rest.peek().is_some_and(|next| next.is_ascii_alphabetic() || *next == '/');
        if opens && !code && !is_link(rest.clone().collect::<String>().as_str()) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

fn is_link(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Addresses become links; brackets that are no link stay brackets.
fn mark_links(line: &str) -> String {
    let mut marked = String::with_capacity(line.len());
    let mut code = false;
    for word in line.split_inclusive(' ') {
        let address = word.trim_end();
        if is_link(address) && !code {
            marked.push_str(&format!("<{address}>{}", &word[address.len()..]));
            continue;
        }
        for character in word.chars() {
            code ^= character == '`';
            if matches!(character, '[' | ']') && !code && !line.contains("](") {
                marked.push('\\');
            }
            marked.push(character);
        }
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indented_text_and_fenced_code_are_never_run() {
        assert_eq!(fit(" Use it so:\n\n     let x = 1;\n"), ["Use it so:", "", "let x = 1;"]);
        assert_eq!(fit(" ```rust\n panic!()\n ```\n"), ["```text", "panic!()", "```"]);
        assert_eq!(fit(" ```\n open"), ["```text", "open", "```"]);
    }

    #[test]
    fn the_lines_of_a_list_item_stay_together() {
        assert_eq!(fit(" - one\n goes on\n - two\n"), ["- one", "  goes on", "- two"]);
        assert_eq!(fit(" 1. one\n      far\n"), ["1. one", "   far"]);
    }

    #[test]
    fn angle_brackets_are_not_elements_and_addresses_are_links() {
        assert_eq!(fit(" a List<Account> or `Vec<T>`"), ["a List\\<Account> or `Vec<T>`"]);
        assert_eq!(documentation("see https://a.b/c [or not]"), ["see <https://a.b/c> \\[or not\\]"]);
    }

    #[test]
    fn an_empty_comment_is_no_comment() {
        let mut info = SourceCodeInfo::default();
        info.location.push(prost_types::source_code_info::Location {
            leading_comments: Some(" \n".into()),
            ..Default::default()
        });
        sanitize(&mut info);
        assert_eq!(info.location[0].leading_comments, None);
    }
}
