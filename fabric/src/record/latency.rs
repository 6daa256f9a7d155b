//! Latencies as HDR histograms: microseconds from 0 to 24 hours, two significant digits.
//!
//! Why two digits: a run keeps eight histograms an edge and interval, for every calling instance. At three digits one
//! with values up to a 30 s time-out takes 130 KB, and 100 edges with three callers each would allocate and merge 300 MB
//! a minute of incident time; at two digits it takes a tenth, for an error of at most 0.8 % (1/128), far below what differs
//! between two seeds. Below 256 us every microsecond has a bucket of its own. Histograms grow with what they hold.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use eastfall_topology::time::Span;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Serializer as _;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};

use super::deflate::{self, DeflateSerializer};

const SIGNIFICANT_DIGITS: u8 = 2;

/// The longest latency told apart from longer ones.
const LONGEST: Span = Span::from_mins(24 * 60);

/// What a latency was measured of: from which start, and with which end.
///
/// A request is all that its caller asked for once, retries included. It starts twice: when an open-loop client meant to
/// send it (intended) and when it did (actual). In an outage the two differ by orders of magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Answered requests, from their intended start.
    IntendedOk,
    /// Requests that failed, were rejected or timed out, from their intended start.
    IntendedFailed,
    /// Answered requests, from their actual start.
    ActualOk,
    /// Requests that failed, were rejected or timed out, from their actual start.
    ActualFailed,
    /// First attempts that were answered.
    FirstAttemptOk,
    /// First attempts that were not.
    FirstAttemptFailed,
    /// Later attempts (retries and hedges) that were answered.
    RetryOk,
    /// Later attempts that were not.
    RetryFailed,
}

impl Measure {
    /// All of them, in the order in which files have them.
    pub const ALL: [Measure; 8] = [
        Measure::IntendedOk,
        Measure::IntendedFailed,
        Measure::ActualOk,
        Measure::ActualFailed,
        Measure::FirstAttemptOk,
        Measure::FirstAttemptFailed,
        Measure::RetryOk,
        Measure::RetryFailed,
    ];

    /// Its name in files, such as `intended-ok`.
    pub const fn name(self) -> &'static str {
        match self {
            Measure::IntendedOk => "intended-ok",
            Measure::IntendedFailed => "intended-failed",
            Measure::ActualOk => "actual-ok",
            Measure::ActualFailed => "actual-failed",
            Measure::FirstAttemptOk => "first-attempt-ok",
            Measure::FirstAttemptFailed => "first-attempt-failed",
            Measure::RetryOk => "retry-ok",
            Measure::RetryFailed => "retry-failed",
        }
    }

    /// The measure of this name.
    pub fn named(name: &str) -> Option<Measure> {
        Measure::ALL.into_iter().find(|measure| measure.name() == name)
    }
}

/// A distribution of latencies.
#[derive(Clone, PartialEq)]
pub struct Latencies(Histogram<u64>);

/// Why a text is not a histogram of ours.
#[derive(Debug, thiserror::Error)]
pub enum LatencyError {
    /// The text is not base64.
    #[error("not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// The bytes are not an HDR histogram.
    #[error("not a histogram in HdrHistogram's V2 format: {0}")]
    Format(#[from] hdrhistogram::serialization::DeserializeError),
    /// A histogram, but with another precision or from another unit.
    #[error(
        "a histogram with {digits} significant digits from {low} us up; ours have {SIGNIFICANT_DIGITS} from 1 us up"
    )]
    Foreign {
        /// Its significant digits.
        digits: u8,
        /// The lowest value it tells from zero.
        low: u64,
    },
}

impl Latencies {
    /// Adds one latency. Whole microseconds count, and what is longer than a day counts as a day.
    pub fn record(&mut self, latency: Span) {
        // A histogram that resizes itself takes every value.
        let _always_fits = self.0.record(latency.min(LONGEST).as_micros());
    }

    /// Adds all of another's.
    pub fn merge(&mut self, other: &Latencies) {
        // Both resize themselves and agree in digits and unit (see `decode`), so this fits.
        let _always_fits = self.0.add(&other.0);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that a share (0..=1) of all does not exceed, up to the width of a bucket; zero if there are none.
    pub fn quantile(&self, share: f64) -> Span {
        Span::from_micros(if self.0.is_empty() { 0 } else { self.0.value_at_quantile(share) })
    }

    /// The mean; zero if there are none.
    pub fn mean(&self) -> Span {
        Span::from_micros(1).mul_f64(self.0.mean())
    }

    /// The longest, up to the width of a bucket.
    pub fn longest(&self) -> Span {
        Span::from_micros(self.0.max())
    }

    /// The histogram underneath, in microseconds.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    /// HdrHistogram's V2 format, deflated, in base64: what `.hlog` files hold.
    pub fn encode(&self) -> String {
        let mut bytes = Vec::new();
        // Writing to memory does not fail.
        let _length = DeflateSerializer.serialize(&self.0, &mut bytes);
        BASE64.encode(bytes)
    }

    /// Reads what [`Latencies::encode`] wrote.
    ///
    /// # Errors
    /// If the text is not such a histogram, or one of another precision.
    pub fn decode(text: &str) -> Result<Latencies, LatencyError> {
        let bytes = BASE64.decode(text.trim())?;
        let mut histogram: Histogram<u64> = deflate::read(&bytes)?;
        if (histogram.sigfig(), histogram.low()) != (SIGNIFICANT_DIGITS, 1) {
            return Err(LatencyError::Foreign { digits: histogram.sigfig(), low: histogram.low() });
        }
        histogram.auto(true);
        Ok(Latencies(histogram))
    }
}

impl Default for Latencies {
    #[expect(
        clippy::expect_used,
        reason = "two digits from 1 us up are within the bounds that the crate documents"
    )]
    fn default() -> Self {
        Latencies(Histogram::new(SIGNIFICANT_DIGITS).expect("valid bounds"))
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} latencies, median {}, longest {}", self.count(), self.quantile(0.5), self.longest())
    }
}

impl Serialize for Latencies {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.encode())
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Latencies::decode(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The latencies of one edge by [`Measure`]; those never recorded take no room.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histograms([Option<Box<Latencies>>; Measure::ALL.len()]);

impl Histograms {
    /// Adds one latency.
    pub fn record(&mut self, measure: Measure, latency: Span) {
        self.entry(measure).record(latency);
    }

    /// Adds all of another's.
    pub fn merge(&mut self, other: &Histograms) {
        for (measure, latencies) in other.iter() {
            self.entry(measure).merge(latencies);
        }
    }

    /// The latencies of one measure, if there are any.
    pub fn get(&self, measure: Measure) -> Option<&Latencies> {
        self.0[measure as usize].as_deref()
    }

    /// How many latencies of one measure there are.
    pub fn count(&self, measure: Measure) -> u64 {
        self.get(measure).map_or(0, Latencies::count)
    }

    /// True if nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// What was recorded, in the order of [`Measure::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Measure, &Latencies)> {
        Measure::ALL.into_iter().filter_map(|measure| Some((measure, self.get(measure)?)))
    }

    /// Of all requests, whatever their end, from their intended start: what customers waited.
    pub fn requests(&self) -> Latencies {
        let mut all = Latencies::default();
        for latencies in
            [Measure::IntendedOk, Measure::IntendedFailed].into_iter().filter_map(|m| self.get(m))
        {
            all.merge(latencies);
        }
        all
    }

    fn entry(&mut self, measure: Measure) -> &mut Latencies {
        self.0[measure as usize].get_or_insert_default()
    }
}

impl FromIterator<(Measure, Latencies)> for Histograms {
    fn from_iter<I: IntoIterator<Item = (Measure, Latencies)>>(entries: I) -> Self {
        let mut histograms = Histograms::default();
        for (measure, latencies) in entries {
            match &mut histograms.0[measure as usize] {
                Some(present) => present.merge(&latencies),
                vacant => *vacant = Some(Box::new(latencies)),
            }
        }
        histograms
    }
}

impl Serialize for Histograms {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Histograms {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = std::collections::BTreeMap::<Measure, Latencies>::deserialize(deserializer)?;
        Ok(entries.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(micros: &[u64]) -> Latencies {
        let mut latencies = Latencies::default();
        for &micros in micros {
            latencies.record(Span::from_micros(micros));
        }
        latencies
    }

    #[test]
    fn names_are_read_back() {
        for measure in Measure::ALL {
            assert_eq!(Measure::named(measure.name()), Some(measure), "{measure:?}");
            assert_eq!(
                serde_json::to_string(&measure).unwrap(),
                format!("\"{}\"", measure.name()),
                "serde must agree with name()"
            );
        }
    }

    #[test]
    fn longer_than_a_day_counts_as_a_day() {
        let mut latencies = Latencies::default();
        latencies.record(Span::MAX);
        let error = latencies.longest().as_secs_f64() / 86_400.0 - 1.0;
        assert!((0.0..0.01).contains(&error), "{latencies:?}");
    }

    #[test]
    fn a_histogram_of_another_precision_is_refused() {
        let mut foreign = Histogram::<u64>::new(3).unwrap();
        foreign.record(7).unwrap();
        let mut bytes = Vec::new();
        DeflateSerializer.serialize(&foreign, &mut bytes).unwrap();
        let refused = Latencies::decode(&BASE64.encode(bytes));
        assert!(matches!(refused, Err(LatencyError::Foreign { digits: 3, low: 1 })), "{refused:?}");
    }

    #[test]
    fn text_that_is_no_histogram_is_refused() {
        for text in ["", "???", "AAAA", "HISTFAAAAC94nJNpmSzMwMDAyAABzFCa"] {
            assert!(Latencies::decode(text).is_err(), "{text:?} was taken for a histogram");
        }
    }

    proptest! {
        #[test]
        fn parts_merged_are_the_whole(parts in prop::collection::vec(prop::collection::vec(0u64..100_000_000_000, 0..40), 0..8)) {
            let mut merged = Latencies::default();
            for part in &parts {
                merged.merge(&of(part));
            }
            let whole = of(&parts.concat());
            prop_assert_eq!(merged.count(), whole.count());
            for share in [0.0, 0.1, 0.5, 0.9, 0.99, 1.0] {
                prop_assert_eq!(merged.quantile(share), whole.quantile(share), "at {}", share);
            }
        }

        #[test]
        fn a_quantile_is_at_most_one_percent_above_the_truth(mut micros in prop::collection::vec(1u64..86_400_000_000, 1..60)) {
            let latencies = of(&micros);
            micros.sort_unstable();
            for (rank, truth) in micros.iter().enumerate() {
                let share = (rank + 1) as f64 / micros.len() as f64;
                // The float may point at this rank or, by rounding, at the next.
                let next = micros.get(rank + 1).unwrap_or(truth);
                let measured = latencies.quantile(share).as_micros();
                prop_assert!(measured >= *truth && measured as f64 <= *next as f64 * 1.01, "{} for {}", measured, truth);
            }
        }

        #[test]
        fn what_was_written_is_read_back(micros in prop::collection::vec(0u64..100_000_000_000, 0..60)) {
            let mut histograms = Histograms::default();
            for (index, &value) in micros.iter().enumerate() {
                histograms.record(Measure::ALL[index % 8], Span::from_micros(value));
            }
            let text = serde_json::to_string(&histograms).unwrap();
            let read: Histograms = serde_json::from_str(&text).unwrap();
            for measure in Measure::ALL {
                prop_assert_eq!(read.count(measure), histograms.count(measure));
                let quantile = |h: &Histograms| h.get(measure).map(|latencies| latencies.quantile(0.9));
                prop_assert_eq!(quantile(&read), quantile(&histograms));
            }
        }
    }
}
