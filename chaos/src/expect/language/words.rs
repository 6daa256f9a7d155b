//! The words of a predicate.
//!
//! Names of series hold hyphens, dots and arrows (`customers-web->dynamodb.failed`), so a minus sign between two
//! names needs a space before it. Names that look otherwise stand in backquotes.

use std::fmt;

use eastfall_fabric::Span;

use super::SyntaxError;

/// Words that can't be names of series (in backquotes they can).
pub(super) const RESERVED: [&str; 9] = ["first", "last", "time", "after", "that", "for", "and", "or", "not"];

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Number(f64),
    Span(Span),
    /// A name without backquotes, or a reserved word.
    Name(String),
    Quoted(String),
    Sign(&'static str),
    End,
}

/// Where the name at the start of a text ends; nothing if it doesn't begin with one.
fn name_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    bytes.first().filter(|first| first.is_ascii_alphabetic())?;
    let inner = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
    let mut end = 1;
    loop {
        match bytes.get(end) {
            Some(byte) if byte.is_ascii_alphanumeric() || *byte == b'_' => end += 1,
            Some(b'-' | b'.') if inner(end + 1) => end += 1,
            Some(b'-') if bytes.get(end + 1) == Some(&b'>') && inner(end + 2) => end += 2,
            _ => return Some(end),
        }
    }
}

/// Whether a name needs no backquotes.
pub(in crate::expect) fn is_plain_name(name: &str) -> bool {
    name_length(name) == Some(name.len()) && !RESERVED.contains(&name)
}

/// Every word with its place, the end last.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, SyntaxError> {
    const SIGNS: [&str; 13] = ["<=", "<", ">=", ">", "!=", "=", "+", "-", "*", "/", "(", ")", ","];
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        let rest = &text[at..];
        let error =
            |message: String, cure: &str| SyntaxError { at, message, cure: cure.to_owned(), nearest: None };
        let length = if letter.is_whitespace() {
            letter.len_utf8()
        } else if let Some(length) = name_length(rest) {
            tokens.push((at, Token::Name(rest[..length].to_owned())));
            length
        } else if letter == '`' {
            let name = rest[1..].split_once('`').map(|(name, _)| name);
            let name = name
                .ok_or_else(|| error("the backquote is not closed".to_owned(), "add the second backquote"))?;
            tokens.push((at, Token::Quoted(name.to_owned())));
            name.len() + 2
        } else if letter.is_ascii_digit() {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
            let word = &rest[..length];
            let token = word.parse::<f64>().ok().filter(|number| number.is_finite()).map(Token::Number);
            let token = token.or_else(|| word.parse().ok().map(Token::Span));
            let token = token.ok_or_else(|| {
                error(format!("`{word}` is no number and no length of time"), "write 0.5, 5%, 90s or 1h30m")
            })?;
            match (token, rest[length..].starts_with('%')) {
                (Token::Number(percent), true) => {
                    tokens.push((at, Token::Number(percent / 100.0)));
                    length + 1
                }
                (token, _) => {
                    tokens.push((at, token));
                    length
                }
            }
        } else {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign)).ok_or_else(|| {
                error(
                    format!("`{letter}` means nothing here"),
                    "write names, numbers, + - * / < <= > >= = != ( ) ,",
                )
            })?;
            tokens.push((at, Token::Sign(sign)));
            sign.len()
        };
        at += length;
    }
    tokens.push((at, Token::End));
    Ok(tokens)
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Number(number) => write!(f, "`{number}`"),
            Token::Span(span) => write!(f, "`{span}`"),
            Token::Name(name) => write!(f, "`{name}`"),
            Token::Quoted(name) => write!(f, "the series `{name}`"),
            Token::Sign(sign) => write!(f, "`{sign}`"),
            Token::End => f.write_str("the end"),
        }
    }
}
