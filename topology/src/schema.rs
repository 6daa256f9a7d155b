//! What a kind of service declares about itself: its parameters, with type, default and range.
//!
//! Declared with [`params!`](crate::params!) beside the kind's code, so that the file's checks, the errors' cures and
//! the documentation can't drift from the code that uses the values.

use crate::{Curve, Distribution, Span};
use indexmap::IndexMap;
use std::fmt;

/// A kind of service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KindSchema {
    /// As `kind = "..."` names it.
    pub name: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// Its own parameters, beside the keys every service has.
    pub params: &'static [ParamSchema],
    /// Its operations are written in the file (`operations`): the generic kind.
    pub has_operations: bool,
    /// The operations a generic service may call on it; empty: not listed, so not checked.
    pub offers: &'static [&'static str],
}

/// One parameter of a kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParamSchema {
    /// Its key, in kebab case.
    pub key: &'static str,
    /// What it is, and where its default comes from.
    pub doc: &'static str,
    /// What may be written.
    pub kind: ParamType,
    /// The default as TOML text; absent: the file must give it.
    pub default: Option<&'static str>,
    /// Lowest and highest as TOML text, both included.
    pub range: Option<(&'static str, &'static str)>,
    /// `--load` multiplies it.
    pub scaled: bool,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ParamType {
    /// A length of time: `"90s"`.
    Span,
    /// A whole number from 0 to this.
    Integer(u64),
    /// A number, finite.
    Float,
    /// `true` or `false`.
    Boolean,
    /// Any text.
    Text,
    /// A list of texts.
    Texts,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A rate over the day: `[["00:00", 0.6], ["09:30", 1.2]]`.
    Curve,
    /// Weights by name: `{ read = 0.7, write = 0.3 }`, none negative, not all zero.
    Mix,
    /// A distribution of times: `{ distribution = "exponential", mean = "2ms" }` or `"2ms"`.
    Distribution,
    /// `"none"`, or what is inside.
    Optional(&'static ParamType),
}

/// A checked value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamValue {
    /// A length of time.
    Span(Span),
    /// A whole number.
    Integer(u64),
    /// A finite number.
    Float(f64),
    /// A truth.
    Boolean(bool),
    /// A text or a word.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// A rate over the day.
    Curve(Curve),
    /// Weights by name.
    Mix(IndexMap<String, f64>),
    /// A distribution of times.
    Distribution(Distribution),
    /// `"none"`.
    Nothing,
}

/// A Rust type that a parameter can have.
pub trait Parameter: Sized {
    /// What the file may write for it.
    const TYPE: ParamType;
    /// Takes a value that was checked against [`Self::TYPE`]; another value gives nothing.
    fn take(value: &ParamValue) -> Option<Self>;
}

impl fmt::Display for ParamValue {
    /// As a file writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParamValue::Span(span) => write!(f, "{span}"),
            ParamValue::Integer(number) => write!(f, "{number}"),
            ParamValue::Float(number) => write!(f, "{number}"),
            ParamValue::Boolean(truth) => write!(f, "{truth}"),
            ParamValue::Text(text) => f.write_str(text),
            ParamValue::Texts(texts) => write!(f, "{texts:?}"),
            ParamValue::Curve(curve) => write!(f, "{curve}"),
            ParamValue::Distribution(distribution) => write!(f, "{distribution}"),
            ParamValue::Nothing => f.write_str("none"),
            ParamValue::Mix(mix) => {
                let weights: Vec<String> =
                    mix.iter().map(|(name, weight)| format!("{name} = {weight}")).collect();
                write!(f, "{{ {} }}", weights.join(", "))
            }
        }
    }
}

impl KindSchema {
    /// The parameter with this key.
    pub fn param(&self, key: &str) -> Option<&'static ParamSchema> {
        self.params.iter().find(|param| param.key == key)
    }
}

/// One line a type: what the file may write, which variant carries it, how it is taken out.
macro_rules! parameter {
    ($($rust:ty: $kind:expr, $pattern:pat => $taken:expr;)+) => {
        $(impl Parameter for $rust {
            const TYPE: ParamType = $kind;
            fn take(value: &ParamValue) -> Option<Self> {
                match value {
                    $pattern => $taken,
                    _ => None,
                }
            }
        })+
    };
}

parameter! {
    Span: ParamType::Span, ParamValue::Span(span) => Some(*span);
    u64: ParamType::Integer(i64::MAX as u64), ParamValue::Integer(number) => Some(*number);
    u32: ParamType::Integer(u32::MAX as u64), ParamValue::Integer(number) => u32::try_from(*number).ok();
    u16: ParamType::Integer(u16::MAX as u64), ParamValue::Integer(number) => u16::try_from(*number).ok();
    f64: ParamType::Float, ParamValue::Float(number) => Some(*number);
    bool: ParamType::Boolean, ParamValue::Boolean(truth) => Some(*truth);
    String: ParamType::Text, ParamValue::Text(text) => Some(text.clone());
    Vec<String>: ParamType::Texts, ParamValue::Texts(texts) => Some(texts.clone());
    Curve: ParamType::Curve, ParamValue::Curve(curve) => Some(curve.clone());
    IndexMap<String, f64>: ParamType::Mix, ParamValue::Mix(mix) => Some(mix.clone());
    Distribution: ParamType::Distribution, ParamValue::Distribution(distribution) => Some(*distribution);
}

impl<T: Parameter> Parameter for Option<T> {
    const TYPE: ParamType = ParamType::Optional(&T::TYPE);
    fn take(value: &ParamValue) -> Option<Self> {
        match value {
            ParamValue::Nothing => Some(None),
            other => T::take(other).map(Some),
        }
    }
}
