//! Reading one value as one type: what was found, what was wanted, how to write it.

use crate::problem::{nearest, one_of};
use crate::tree::{Node, Value};
use crate::{Span, Word};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// What is wrong with a value, before it is known at which key.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) cure: String,
    pub(crate) nearest: Option<String>,
}

/// A type that one value of a file can be read as.
pub(crate) trait Readable: Sized + Clone + PartialOrd + Display {
    /// Reads the value.
    fn read(node: &Node) -> Result<Self, Fault>;
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>, cure: impl Into<String>) -> Fault {
        Fault { message: message.into(), cure: cure.into(), nearest: None }
    }

    /// A name that isn't one of the valid ones: `what` is "kind", "service", "key"...
    pub(crate) fn unknown<'a>(
        what: &str,
        name: &str,
        valid: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Fault {
        Fault {
            message: format!("unknown {what} `{name}`"),
            nearest: nearest(name, valid.clone()),
            cure: one_of(valid),
        }
    }
}

/// Reads a value and holds it against a range.
pub(crate) fn read_within<T: Readable>(node: &Node, range: &RangeInclusive<T>) -> Result<T, Fault> {
    let value = T::read(node)?;
    if range.contains(&value) {
        Ok(value)
    } else {
        let (low, high) = (range.start(), range.end());
        Err(Fault::new(format!("{value} is out of range"), format!("write a value from {low} to {high}")))
    }
}

/// True for the word that switches an optional thing off.
pub(crate) fn is_off(node: &Node) -> bool {
    matches!(&node.value, Value::Text(text) if text == "none" || text == "unlimited")
}

/// Reads one of some words.
pub(crate) fn read_word(node: &Node, words: &[&'static str]) -> Result<&'static str, Fault> {
    let Value::Text(text) = &node.value else {
        return Err(Fault::new(
            format!("{node} is not a word"),
            format!("write {}", one_of(words.iter().copied())),
        ));
    };
    let found = words.iter().find(|word| *word == text);
    found.copied().ok_or_else(|| Fault::unknown("word", text, words.iter().copied()))
}

/// Reads a list of texts.
pub(crate) fn read_texts(node: &Node) -> Result<Vec<String>, Fault> {
    match &node.value {
        Value::List(list) => list.iter().map(String::read).collect(),
        _ => {
            Err(Fault::new(format!("{node} is not a list"), "write a list of texts, such as [\"a\", \"b\"]"))
        }
    }
}

impl Readable for Span {
    fn read(node: &Node) -> Result<Self, Fault> {
        let text = match &node.value {
            Value::Text(text) => text.clone(),
            _ => node.to_string().trim_matches('`').to_owned(),
        };
        text.parse().map_err(|error: crate::time::SpanError| {
            let told = error.to_string();
            let (message, cure) = told.split_once("; ").unwrap_or((&told, ""));
            Fault::new(message, cure)
        })
    }
}

impl Readable for u64 {
    fn read(node: &Node) -> Result<Self, Fault> {
        let number = match node.value {
            Value::Integer(number) => u64::try_from(number).ok(),
            _ => None,
        };
        number.ok_or_else(|| {
            Fault::new(
                format!("{node} is not a whole number from 0"),
                "write digits without quotes, such as 3",
            )
        })
    }
}

/// Smaller whole numbers are read as the largest and must fit.
macro_rules! smaller_integer {
    ($($type:ty)+) => {$(
        impl Readable for $type {
            fn read(node: &Node) -> Result<Self, Fault> {
                <$type>::try_from(u64::read(node)?).map_err(|_| {
                    Fault::new(format!("{node} is out of range"), format!("write at most {}", <$type>::MAX))
                })
            }
        }
    )+};
}
smaller_integer!(u16 u32);

impl Readable for f64 {
    fn read(node: &Node) -> Result<Self, Fault> {
        match node.value {
            Value::Integer(number) => Ok(number as f64),
            Value::Float(number) if number.is_finite() => Ok(number),
            _ => Err(Fault::new(
                format!("{node} is not a number"),
                "write a number without quotes, such as 0.5",
            )),
        }
    }
}

impl Readable for bool {
    fn read(node: &Node) -> Result<Self, Fault> {
        match node.value {
            Value::Boolean(truth) => Ok(truth),
            _ => Err(Fault::new(
                format!("{node} is neither true nor false"),
                "write true or false without quotes",
            )),
        }
    }
}

impl Readable for String {
    fn read(node: &Node) -> Result<Self, Fault> {
        match &node.value {
            Value::Text(text) if text.trim().is_empty() => {
                Err(Fault::new("the text is empty", "write something, or take the key out for its default"))
            }
            Value::Text(text) => Ok(text.clone()),
            _ => Err(Fault::new(format!("{node} is not a text"), "write it in quotes")),
        }
    }
}

impl<W: Word + PartialOrd> Readable for W {
    fn read(node: &Node) -> Result<Self, Fault> {
        let word = read_word(node, W::WORDS)?;
        W::from_word(word).ok_or_else(|| Fault::unknown("word", word, W::WORDS.iter().copied()))
    }
}
