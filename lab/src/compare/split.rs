//! Splitting a command line's values without breaking what belongs together: a comma within brackets, braces or quotes is
//! part of a value (`[["00:00", 1.0], ["12:00", 2.0]]`, `{ kind = "fixed", limit = 8 }`).

/// Why a text can't be split.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SplitError {
    /// A bracket, a brace or a quote has no partner.
    #[error("`{0}` has no partner; close every bracket, brace and quote")]
    Unpaired(char),
}

/// The parts of a text between separators that stand outside all brackets, braces and quotes; trimmed.
///
/// # Errors
/// If a bracket, a brace or a quote has no partner.
pub(super) fn split(text: &str, separates: impl Fn(char) -> bool) -> Result<Vec<&str>, SplitError> {
    let mut parts = Vec::new();
    let mut open: Vec<char> = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (place, letter) in text.char_indices() {
        let quote = open.last().copied().filter(|open| matches!(open, '"' | '\''));
        match (quote, letter) {
            // As in TOML: a backslash escapes in double quotes only.
            (Some('"'), _) if escaped => escaped = false,
            (Some('"'), '\\') => escaped = true,
            (Some(quote), _) if letter == quote => drop(open.pop()),
            (Some(_), _) => {}
            (None, '"' | '\'' | '[' | '{') => open.push(letter),
            (None, ']' | '}') => {
                let partner = if letter == ']' { '[' } else { '{' };
                if open.pop() != Some(partner) {
                    return Err(SplitError::Unpaired(letter));
                }
            }
            (None, _) if open.is_empty() && separates(letter) => {
                parts.push(text[start..place].trim());
                start = place + letter.len_utf8();
            }
            (None, _) => {}
        }
    }
    parts.push(text[start..].trim());
    open.last().map_or(Ok(parts), |left| Err(SplitError::Unpaired(*left)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at_commas(text: &str) -> Result<Vec<&str>, SplitError> {
        split(text, |letter| letter == ',')
    }

    #[test]
    fn what_stands_in_brackets_braces_or_quotes_stays_together() {
        let cases: [(&str, &[&str]); 6] = [
            ("a,b", &["a", "b"]),
            ("{ kind = \"fixed\", limit = 8 }, none", &["{ kind = \"fixed\", limit = 8 }", "none"]),
            ("[[\"00:00\", 1.0], [\"12:00\", 2.0]],[]", &["[[\"00:00\", 1.0], [\"12:00\", 2.0]]", "[]"]),
            ("\"a, \\\"b\", 'c, ]'", &["\"a, \\\"b\"", "'c, ]'"]),
            ("", &[""]),
            ("a,,b", &["a", "", "b"]),
        ];
        for (text, parts) in cases {
            assert_eq!(at_commas(text).as_deref(), Ok(parts), "{text}");
        }
    }

    #[test]
    fn what_has_no_partner_is_named() {
        for (text, letter) in [("[1, 2", '['), ("1, 2]", ']'), ("{ a = [1 }", '}'), ("\"a, b", '"')] {
            assert_eq!(at_commas(text), Err(SplitError::Unpaired(letter)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn quoted_values_come_out_as_they_went_in(values in prop::collection::vec("[a-z,\\[{ ]{0,9}", 1..6)) {
            let quoted: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
            let text = quoted.join(", ");
            prop_assert_eq!(at_commas(&text).expect("paired"), quoted);
        }
    }
}
