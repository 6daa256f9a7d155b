//! Predicates over series as trees, and how they are written.

use std::fmt;

use eastfall_fabric::Span;
use eastfall_topology::Word as _;

use super::language;

/// When a milestone is: `first time after dns.restored that leases.held >= 100 for 1m`.
#[derive(Clone, Debug, PartialEq)]
pub struct When {
    /// The first such time, or the last.
    pub which: Which,
    /// Only times at or after this step or milestone count.
    pub after: Option<String>,
    /// What has to hold.
    pub condition: Condition,
}

eastfall_topology::words! {
    /// Which of several times is meant.
    pub enum Which {
        /// The beginning of the first period in which the condition holds (long enough).
        First = "first",
        /// The end of the last such period. None if it holds to the end of the run: nobody knows how long it would.
        Last = "last",
    }
}

/// What has to hold, and for how long: `queue.length > 1000 for 5m`.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// A truth at every sample.
    pub expression: Expression,
    /// Periods shorter than this don't count.
    pub lasting: Option<Span>,
}

/// An expression over series: a number or a truth at every sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// A number, zero or above; `5%` is 0.05.
    Number(f64),
    /// A length of time, in seconds: `1m` is 60.
    Span(Span),
    /// The value of a series at the sample; no number where it has none.
    Series(String),
    /// The number's negative.
    Negative(Box<Expression>),
    /// The truth's opposite.
    Not(Box<Expression>),
    /// Two expressions joined.
    Binary(Operator, Box<Expression>, Box<Expression>),
    /// A function of an expression, over the whole run or over a window that ends at the sample.
    Call(Function, Box<Expression>, Option<Span>),
}

/// What joins two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what it says")]
pub enum Operator {
    Or,
    And,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
}

eastfall_topology::words! {
    /// What can be asked of an expression's values.
    pub enum Function {
        /// Per second: a count of a sampling interval, divided by the interval.
        Rate = "rate",
        /// The difference to the sample before.
        Change = "change",
        /// Without its sign.
        Absolute = "abs",
        /// The highest of the window.
        Highest = "max",
        /// The lowest of the window.
        Lowest = "min",
        /// The mean of the window.
        Mean = "mean",
        /// The sum of the window.
        Sum = "sum",
    }
}

/// How tightly an expression binds; the higher, the tighter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Binding {
    Or,
    And,
    Not,
    Comparison,
    Sum,
    Product,
    Negative,
    Whole,
}

// === impl Operator ===

impl Operator {
    /// Every operator with its sign; where one sign begins another, the longer comes first.
    pub(super) const SIGNS: [(&'static str, Operator); 12] = [
        ("or", Operator::Or),
        ("and", Operator::And),
        ("<=", Operator::LessOrEqual),
        ("<", Operator::Less),
        (">=", Operator::GreaterOrEqual),
        (">", Operator::Greater),
        ("!=", Operator::NotEqual),
        ("=", Operator::Equal),
        ("+", Operator::Add),
        ("-", Operator::Subtract),
        ("*", Operator::Multiply),
        ("/", Operator::Divide),
    ];

    pub(super) fn binding(self) -> Binding {
        match self {
            Operator::Or => Binding::Or,
            Operator::And => Binding::And,
            Operator::Add | Operator::Subtract => Binding::Sum,
            Operator::Multiply | Operator::Divide => Binding::Product,
            _ => Binding::Comparison,
        }
    }

    fn sign(self) -> &'static str {
        Operator::SIGNS.iter().find(|(_, operator)| *operator == self).map_or("", |(sign, _)| sign)
    }
}

// === impl Function ===

impl Function {
    /// Whether it looks at several samples, and so takes a window: `max(x, 5m)`.
    pub(super) fn takes_window(self) -> bool {
        matches!(self, Function::Highest | Function::Lowest | Function::Mean | Function::Sum)
    }
}

// === impl Expression ===

impl Expression {
    /// Whether it is a truth at every sample, and not a number.
    pub fn is_truth(&self) -> bool {
        match self {
            Expression::Not(_) => true,
            Expression::Binary(operator, ..) => operator.binding() <= Binding::Comparison,
            _ => false,
        }
    }

    /// Every series it looks at, once each.
    pub fn series(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.collect(&mut names);
        names.sort_unstable();
        names.dedup();
        names
    }

    fn collect<'e>(&'e self, names: &mut Vec<&'e str>) {
        match self {
            Expression::Number(_) | Expression::Span(_) => {}
            Expression::Series(name) => names.push(name),
            Expression::Negative(inner) | Expression::Not(inner) | Expression::Call(_, inner, _) => {
                inner.collect(names);
            }
            Expression::Binary(_, left, right) => {
                left.collect(names);
                right.collect(names);
            }
        }
    }

    fn binding(&self) -> Binding {
        match self {
            Expression::Binary(operator, ..) => operator.binding(),
            Expression::Not(_) => Binding::Not,
            Expression::Negative(_) => Binding::Negative,
            _ => Binding::Whole,
        }
    }

    /// Writes it with parentheses only if it binds less tightly than its place needs.
    fn write(&self, f: &mut fmt::Formatter<'_>, needed: Binding) -> fmt::Result {
        if self.binding() < needed { write!(f, "({self})") } else { write!(f, "{self}") }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expression::Number(number) => write!(f, "{number}"),
            Expression::Span(span) => write!(f, "{span}"),
            Expression::Series(name) if language::is_plain_name(name) => f.write_str(name),
            Expression::Series(name) => write!(f, "`{name}`"),
            Expression::Negative(inner) => {
                f.write_str("-")?;
                inner.write(f, Binding::Negative)
            }
            Expression::Not(inner) => {
                f.write_str("not ")?;
                inner.write(f, Binding::Not)
            }
            Expression::Binary(operator, left, right) => {
                let binding = operator.binding();
                // `a < b < c` means nothing; everything else goes from the left.
                let tighter = |binding| match binding {
                    Binding::Or => Binding::And,
                    Binding::And => Binding::Not,
                    Binding::Comparison => Binding::Sum,
                    Binding::Sum => Binding::Product,
                    _ => Binding::Negative,
                };
                let left_needs = if binding == Binding::Comparison { tighter(binding) } else { binding };
                left.write(f, left_needs)?;
                write!(f, " {} ", operator.sign())?;
                right.write(f, tighter(binding))
            }
            Expression::Call(function, inner, None) => write!(f, "{}({inner})", function.word()),
            Expression::Call(function, inner, Some(window)) => {
                write!(f, "{}({inner}, {window})", function.word())
            }
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expression.fmt(f)?;
        self.lasting.map_or(Ok(()), |lasting| write!(f, " for {lasting}"))
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} time ", self.which)?;
        if let Some(after) = &self.after {
            write!(f, "after {after} ")?;
        }
        write!(f, "that {}", self.condition)
    }
}
