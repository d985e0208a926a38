//! Text as one token of a subject: the only way from an id to the wire.

use std::borrow::Cow;

use crate::percent;

/// What stands where there is nothing: no tenant, no package. No id is written so, because none is empty.
pub(crate) const NOTHING: &str = "%";

/// Text as a token: letters, digits, `-` and `_` as they are, every other byte as `%` and two hexadecimal digits. So no
/// text has a dot, a wildcard or white space in its token, and two texts never have the same one.
pub(crate) fn token(text: &str) -> Cow<'_, str> {
    if text.is_empty() {
        return Cow::Borrowed(NOTHING);
    }
    if text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut token = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if is_plain(byte) {
            token.push(char::from(byte));
        } else {
            percent::push(byte, &mut token);
        }
    }
    Cow::Owned(token)
}

/// The text of a token; `None` for what [`token`] does not write.
pub(crate) fn text(written: &str) -> Option<String> {
    if written == NOTHING {
        return Some(String::new());
    }
    let text = percent::decode(written)?;
    (token(&text) == written && !text.is_empty()).then(|| text.into_owned())
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_has_a_meaning_in_subjects_has_none_in_a_token() {
        assert_eq!(token("acc-1"), "acc-1");
        assert_eq!(token("a.b"), "a%2Eb");
        assert_eq!(token("*"), "%2A");
        assert_eq!(token(">"), "%3E");
        assert_eq!(token("100%"), "100%25");
        assert_eq!(token("a\r\nb c\0"), "a%0D%0Ab%20c%00");
        assert_eq!(token("ü"), "%C3%BC");
        assert_eq!(token(""), NOTHING);
    }

    #[test]
    fn only_what_was_written_as_a_token_is_read_as_one() {
        for foreign in ["", "a.b", "%2", "%zz", "%2e", "%41", "a b", "%FF"] {
            assert_eq!(text(foreign), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back_from_its_token(id in ".{0,300}") {
            let token = token(&id);
            prop_assert!(token.bytes().all(|byte| is_plain(byte) || byte == b'%'));
            prop_assert_eq!(text(&token), Some(id));
        }
    }
}
