//! Incident time: the time of the event that is being lived through, not of the wall.
//!
//! A configuration, a policy and a service speak of [`Span`]s and [`Moment`]s only. A wall duration
//! (`std::time::Duration`) is another type, so it can't be passed where incident time is meant: at
//! `--speed 120` that mistake would be a factor of 120. Only the fabric's live back end converts.
//!
//! Both count whole nanoseconds in a `u64`, which reaches 584 years and is exact: no drift, no rounding to the
//! millisecond of a runtime's timer.

use std::fmt;
use std::ops::{Add, AddAssign, Div, Mul, Sub};
use std::str::FromStr;

/// A length of incident time, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

/// An instant of incident time: nanoseconds since the start of the run (not of the incident).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);
    /// Longer than any run.
    pub const MAX: Span = Span(u64::MAX);

    /// So many nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Span(nanos)
    }
    /// So many microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Span(micros.saturating_mul(1_000))
    }
    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Span(millis.saturating_mul(1_000_000))
    }
    /// So many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Span(secs.saturating_mul(1_000_000_000))
    }
    /// So many minutes.
    pub const fn from_mins(mins: u64) -> Self {
        Span::from_secs(mins.saturating_mul(60))
    }
    /// Seconds as a float, rounded to the nearest nanosecond. Negative and NaN give zero, too large gives [`Span::MAX`].
    pub fn from_secs_f64(secs: f64) -> Self {
        Span((secs * 1e9).round() as u64)
    }
    /// Whole nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
    /// Whole microseconds, rounded down.
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }
    /// Seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
    /// Milliseconds.
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
    /// True for no time at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
    /// This span times a factor, rounded to the nearest nanosecond; negative and NaN factors give zero.
    pub fn mul_f64(self, factor: f64) -> Self {
        Span((self.0 as f64 * factor).round() as u64)
    }

    /// Twice as long `times` times over, but no longer than `longest`: the pauses of exponential back-off.
    pub fn doubled(self, times: u32, longest: Span) -> Self {
        (self * 1u64.checked_shl(times).unwrap_or(u64::MAX)).min(longest)
    }

    /// The difference, or zero if `other` is longer.
    pub const fn saturating_sub(self, other: Span) -> Span {
        Span(self.0.saturating_sub(other.0))
    }
}

impl Moment {
    /// The start of the run.
    pub const START: Moment = Moment(0);
    /// After every run's end.
    pub const MAX: Moment = Moment(u64::MAX);

    /// So many nanoseconds after the start of the run.
    pub const fn from_nanos(nanos: u64) -> Self {
        Moment(nanos)
    }
    /// Nanoseconds since the start of the run.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
    /// Time since the start of the run.
    pub const fn since_start(self) -> Span {
        Span(self.0)
    }
    /// Time since `earlier`, or zero if that is later.
    pub const fn since(self, earlier: Moment) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
    /// The moment so long before this one, or the start of the run.
    pub const fn before(self, span: Span) -> Moment {
        Moment(self.0.saturating_sub(span.0))
    }
}

impl Add<Span> for Moment {
    type Output = Moment;
    fn add(self, span: Span) -> Moment {
        Moment(self.0.saturating_add(span.0))
    }
}
impl AddAssign<Span> for Moment {
    fn add_assign(&mut self, span: Span) {
        *self = *self + span;
    }
}
impl Add for Span {
    type Output = Span;
    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}
impl AddAssign for Span {
    fn add_assign(&mut self, other: Span) {
        *self = *self + other;
    }
}
impl Sub for Span {
    type Output = Span;
    fn sub(self, other: Span) -> Span {
        self.saturating_sub(other)
    }
}
impl Mul<u64> for Span {
    type Output = Span;
    fn mul(self, factor: u64) -> Span {
        Span(self.0.saturating_mul(factor))
    }
}
impl Div<u64> for Span {
    type Output = Span;
    fn div(self, divisor: u64) -> Span {
        Span(self.0 / divisor.max(1))
    }
}

/// Why a text is not a length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a length of time; write a number and a unit, such as 250us, 1.5ms, 90s, 5m, 1h30m or 2d"
)]
pub struct SpanError {
    text: String,
}

/// Units by name, longest first where one begins another.
const UNITS: [(&str, f64); 7] =
    [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9), ("d", 86_400e9)];

impl FromStr for Span {
    type Err = SpanError;

    /// Reads `250us`, `1.5ms`, `90s`, `1h30m`, `2h 37m` and `0`.
    fn from_str(text: &str) -> Result<Span, SpanError> {
        let error = || SpanError { text: text.to_owned() };
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Span::ZERO);
        }
        if rest.is_empty() {
            return Err(error());
        }
        let mut nanos = 0.0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
            let number: f64 = rest[..digits].parse().map_err(|_| error())?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let (_, factor) = UNITS.iter().find(|(name, _)| *name == &rest[..letters]).ok_or_else(error)?;
            nanos += number * factor;
            rest = rest[letters..].trim_start();
        }
        // Beyond 2^63 ns (292 years) sums would saturate silently: call it a mistake instead.
        if nanos > i64::MAX as f64 { Err(error()) } else { Ok(Span(nanos.round() as u64)) }
    }
}

impl fmt::Display for Span {
    /// Writes what [`FromStr`] reads, exactly: `1h30m`, `1.5ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, nanos) in [("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000)] {
            if rest >= nanos {
                write!(f, "{}{unit}", rest / nanos)?;
                rest %= nanos;
            }
        }
        for (unit, nanos) in [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)] {
            if rest >= nanos {
                let (whole, part) = (rest / nanos, rest % nanos);
                if part == 0 {
                    return write!(f, "{whole}{unit}");
                }
                let width = nanos.ilog10() as usize;
                let fraction = format!("{part:0width$}");
                return write!(f, "{whole}.{}{unit}", fraction.trim_end_matches('0'));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.since_start())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_add_up() {
        assert_eq!("1h30m".parse(), Ok(Span::from_mins(90)));
        assert_eq!("2h 37m".parse(), Ok(Span::from_mins(157)));
        assert_eq!("1.5ms".parse(), Ok(Span::from_micros(1_500)));
        assert_eq!("0".parse(), Ok(Span::ZERO));
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pause = |times| Span::from_secs(1).doubled(times, Span::from_mins(5));
        let seconds: Vec<f64> = [0, 1, 2, 7, 8, 9, 1000].map(|times| pause(times).as_secs_f64()).to_vec();
        assert_eq!(seconds, [1.0, 2.0, 4.0, 128.0, 256.0, 300.0, 300.0], "and not beyond, however many");
    }

    #[test]
    fn what_is_not_a_length_of_time_is_refused() {
        for text in ["", "5", "ms", "5 parsecs", "-3s", "1..2s", "1e3s", "99999999999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_span_is_read_back_as_it_was_written(nanos in 0u64..200_000_000_000_000) {
            let span = Span::from_nanos(nanos);
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }
    }
}
