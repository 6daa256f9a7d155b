//! Values of expressions over a run, and the times at which conditions hold.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use eastfall_fabric::{Moment, Span};

use super::expression::{Condition, Expression, Function, Operator, When, Which};
use super::series::SeriesSource;

/// The value at every sample; truths are 1 and 0. Where a series has no number, arithmetic has none either, and every
/// comparison is false: what wasn't measured proves nothing. A missing series has no number anywhere.
pub(super) fn values(expression: &Expression, run: &dyn SeriesSource) -> Vec<f64> {
    let times = run.times();
    let each = |inner: &Expression, change: fn(f64) -> f64| -> Vec<f64> {
        values(inner, run).into_iter().map(change).collect()
    };
    match expression {
        Expression::Number(number) => vec![*number; times.len()],
        Expression::Span(span) => vec![span.as_secs_f64(); times.len()],
        Expression::Series(name) => {
            let mut values = run.values(name).unwrap_or_default().to_vec();
            values.resize(times.len(), f64::NAN);
            values
        }
        Expression::Negative(inner) => each(inner, |value| -value),
        Expression::Not(inner) => each(inner, |truth| 1.0 - truth),
        Expression::Binary(operator, left, right) => {
            let (left, right) = (values(left, run), values(right, run));
            left.into_iter().zip(right).map(|(left, right)| operator.apply(left, right)).collect()
        }
        Expression::Call(function, inner, window) => apply(*function, &values(inner, run), *window, times),
    }
}

impl Operator {
    pub(super) fn apply(self, left: f64, right: f64) -> f64 {
        let truth = |truth: bool| f64::from(u8::from(truth));
        match self {
            Operator::Or => truth(left > 0.0 || right > 0.0),
            Operator::And => truth(left > 0.0 && right > 0.0),
            Operator::Less => truth(left < right),
            Operator::LessOrEqual => truth(left <= right),
            Operator::Greater => truth(left > right),
            Operator::GreaterOrEqual => truth(left >= right),
            Operator::Equal => truth(left == right),
            Operator::NotEqual => truth(left.partial_cmp(&right).is_some_and(Ordering::is_ne)),
            Operator::Add => left + right,
            Operator::Subtract => left - right,
            Operator::Multiply => left * right,
            Operator::Divide => left / right,
        }
    }
}

fn apply(function: Function, values: &[f64], window: Option<Span>, times: &[Moment]) -> Vec<f64> {
    let before = |index: usize| index.checked_sub(1);
    match function {
        Function::Absolute => values.iter().map(|value| value.abs()).collect(),
        Function::Rate => (0..values.len())
            .map(|at| {
                let interval = times[at].since(before(at).map_or(Moment::START, |before| times[before]));
                values[at] / interval.as_secs_f64()
            })
            .collect(),
        Function::Change => (0..values.len())
            .map(|at| before(at).map_or(f64::NAN, |before| values[at] - values[before]))
            .collect(),
        _ => match window {
            None => vec![summary(function, values); values.len()],
            Some(window) => {
                let mut first = 0;
                (0..values.len())
                    .map(|at| {
                        // The window is open at its start: of samples every 10s, 1m holds six.
                        while times[at].since(times[first]) >= window && first < at {
                            first += 1;
                        }
                        summary(function, &values[first..=at])
                    })
                    .collect()
            }
        },
    }
}

/// One number for several; samples without a number don't count, and of none there is none.
fn summary(function: Function, values: &[f64]) -> f64 {
    let measured = || values.iter().copied().filter(|value| !value.is_nan());
    let count = measured().count();
    if count == 0 {
        return f64::NAN;
    }
    match function {
        Function::Highest => measured().fold(f64::NEG_INFINITY, f64::max),
        Function::Lowest => measured().fold(f64::INFINITY, f64::min),
        Function::Mean => measured().sum::<f64>() / count as f64,
        _ => measured().sum(),
    }
}

/// The periods in which a condition holds, as indices of their first and last samples, within these moments.
pub(super) fn periods(
    condition: &Condition,
    run: &dyn SeriesSource,
    from: Moment,
    to: Moment,
) -> Vec<(usize, usize)> {
    let times = run.times();
    let truths = values(&condition.expression, run);
    let mut periods: Vec<(usize, usize)> = Vec::new();
    let mut open = None;
    for (at, time) in times.iter().enumerate() {
        if truths[at] > 0.0 && *time >= from && *time <= to {
            let first = *open.get_or_insert(at);
            if first == at {
                periods.push((at, at));
            } else if let Some(last) = periods.last_mut() {
                last.1 = at;
            }
        } else {
            open = None;
        }
    }
    periods.retain(|(first, last)| times[*last].since(times[*first]) >= condition.lasting());
    periods
}

/// The moment a predicate means, if it came. `known` has the moments of steps and milestones that came before.
pub(super) fn find(when: &When, run: &dyn SeriesSource, known: &BTreeMap<String, Moment>) -> Option<Moment> {
    let from = match &when.after {
        Some(id) => *known.get(id)?,
        None => Moment::START,
    };
    let times = run.times();
    let periods = periods(&when.condition, run, from, Moment::MAX);
    match when.which {
        Which::First => periods.first().map(|(first, _)| times[*first]),
        Which::Last => {
            let still = values(&when.condition.expression, run).last().is_some_and(|truth| *truth > 0.0);
            periods.last().filter(|_| !still).map(|(_, last)| times[*last])
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
