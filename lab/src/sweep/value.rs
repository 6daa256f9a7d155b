//! Values as they stand in a topology, and how to make them larger and smaller: numbers and lengths of time.

use eastfall_topology::time::Span;

/// A value that has a size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// A whole number stays one: a fleet has no half hosts.
    Whole(i64),
    Number(f64),
    Time(Span),
}

impl Value {
    /// Reads what one would write after `--set PATH=`.
    pub(super) fn read(text: &str) -> Option<Value> {
        let text = text.trim().trim_matches('"');
        let whole = || text.parse().ok().map(Value::Whole);
        let number = || text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::Number);
        whole().or_else(number).or_else(|| text.parse().ok().map(Value::Time))
    }

    /// Its size; seconds of a time.
    pub(super) fn size(self) -> f64 {
        match self {
            Value::Whole(number) => number as f64,
            Value::Number(number) => number,
            Value::Time(span) => span.as_secs_f64(),
        }
    }

    /// The same kind of value, so much larger. A whole number moves by one at least.
    pub(super) fn scaled(self, factor: f64) -> Value {
        match self {
            Value::Whole(number) => {
                let exact = number as f64 * factor;
                let moved = if factor < 1.0 {
                    exact.round().min(number as f64 - 1.0)
                } else {
                    exact.round().max(number as f64 + 1.0)
                };
                Value::Whole(moved as i64)
            }
            // Four digits are enough for a knob, and read better than what a float makes of a tenth more.
            Value::Number(number) => Value::Number(rounded(number * factor)),
            Value::Time(span) => Value::Time(Span::from_secs_f64(rounded(span.as_secs_f64() * factor))),
        }
    }

    /// The nearest value within a range.
    pub(super) fn within(self, low: Value, high: Value) -> Value {
        if self.size() < low.size() {
            low
        } else if self.size() > high.size() {
            high
        } else {
            self
        }
    }

    /// True if both are of one kind, a whole number being a number too.
    pub(super) fn is_like(self, other: Value) -> bool {
        matches!(self, Value::Time(_)) == matches!(other, Value::Time(_))
    }
}

fn rounded(number: f64) -> f64 {
    format!("{number:.3e}").parse().unwrap_or(number)
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Whole(number) => write!(f, "{number}"),
            // TOML knows a float by its point.
            Value::Number(number) => write!(f, "{number:?}"),
            Value::Time(span) => write!(f, "{span}"),
        }
    }
}
