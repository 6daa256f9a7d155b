//! A rate over the day: traffic at night is not traffic at noon, and when an incident strikes decides what it meets.

use crate::Span;

/// A factor by time of day, linear between its points and across midnight.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    points: Vec<(Span, f64)>,
}

/// The length of a day: curves know no daylight saving.
const DAY: Span = Span::from_mins(24 * 60);

impl Curve {
    /// A curve through points (time since midnight, factor).
    ///
    /// # Errors
    /// Says which rule is broken: at least one point, times ascending and below 24h, factors finite and not negative.
    pub fn try_new(points: Vec<(Span, f64)>) -> Result<Curve, String> {
        if points.is_empty() {
            return Err("a curve needs at least one point".to_owned());
        }
        for (time, factor) in &points {
            if *time >= DAY {
                return Err(format!("{time} is not a time of day"));
            }
            if !factor.is_finite() || *factor < 0.0 {
                return Err(format!("factor {factor} is not a number from 0"));
            }
        }
        if let Some(pair) = points.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            return Err(format!("{} does not come after {}", clock(pair[1].0), clock(pair[0].0)));
        }
        Ok(Curve { points })
    }

    /// The points (time since midnight, factor), in order.
    pub fn points(&self) -> &[(Span, f64)] {
        &self.points
    }

    /// The largest factor of the day.
    pub fn peak(&self) -> f64 {
        self.points.iter().map(|(_, factor)| *factor).fold(0.0, f64::max)
    }

    /// The same course of the day, `load` times as high.
    pub(crate) fn scaled(&self, load: f64) -> Curve {
        Curve { points: self.points.iter().map(|(time, factor)| (*time, factor * load)).collect() }
    }

    /// The factor at a time since some midnight.
    pub fn at(&self, time: Span) -> f64 {
        let time = Span::from_nanos(time.as_nanos() % DAY.as_nanos());
        let next = self.points.partition_point(|(at, _)| *at <= time);
        let count = self.points.len();
        let (before_at, before) = self.points[(next + count - 1) % count];
        let (after_at, after) = self.points[next % count];
        let between = |from: Span, to: Span| if to > from { to - from } else { to + DAY - from };
        let since = if time >= before_at { time - before_at } else { time + DAY - before_at };
        before + (after - before) * (since.as_secs_f64() / between(before_at, after_at).as_secs_f64())
    }
}

/// `09:30`, or `09:30:15` where seconds matter.
fn clock(time: Span) -> String {
    let seconds = time.as_nanos() / 1_000_000_000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if second == 0 { format!("{hour:02}:{minute:02}") } else { format!("{hour:02}:{minute:02}:{second:02}") }
}

impl std::fmt::Display for Curve {
    /// As a file writes it: `[["00:00", 0.6], ["09:30", 1.2]]`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[")?;
        for (index, (time, factor)) in self.points.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}[\"{}\", {factor:?}]", clock(*time))?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_linear_between_points_and_across_midnight() {
        let hours = |hours: u64| Span::from_mins(hours * 60);
        let curve = Curve::try_new(vec![(hours(6), 1.0), (hours(18), 3.0)]).expect("a valid curve");
        for (time, factor) in [(6, 1.0), (12, 2.0), (18, 3.0), (0, 2.0), (3, 1.5), (36, 2.0)] {
            let found = curve.at(hours(time));
            assert!((found - factor).abs() < 1e-9, "at {time}h the curve gives {found} instead of {factor}");
        }
    }

    #[test]
    fn one_point_is_a_constant() {
        let curve = Curve::try_new(vec![(Span::from_mins(60), 0.7)]).expect("a valid curve");
        assert!([0, 1, 2, 23].iter().all(|hour| curve.at(Span::from_mins(hour * 60)) == 0.7), "{curve}");
    }

    #[test]
    fn a_curve_that_goes_back_in_time_is_refused() {
        let points = vec![(Span::from_mins(120), 1.0), (Span::from_mins(60), 1.0)];
        assert_eq!(Curve::try_new(points), Err("01:00 does not come after 02:00".to_owned()));
    }
}
