//! Prometheus's histograms, from HDR histograms.

use eastfall_fabric::record::Latencies;

/// Upper bounds in seconds: OpenTelemetry's advice for the duration of calls, which ends at 10 s, with some below for
/// reads of a healthy store and some above for clients that wait through a blackout.
pub(super) const BOUNDS: [f64; 20] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    30.0, 60.0, 300.0,
];

/// Durations by bound.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Buckets {
    /// How many were within a bound and above the one before.
    counts: [u64; BOUNDS.len()],
    beyond: u64,
    sum: f64,
}

impl Buckets {
    /// Adds latencies. Each is known to 0.8 %, so that one next to a bound may be counted on its other side.
    pub(super) fn add(&mut self, latencies: &Latencies) {
        for value in latencies.histogram().iter_recorded() {
            let (seconds, count) = (value.value_iterated_to() as f64 / 1e6, value.count_at_value());
            self.sum += seconds * count as f64;
            match BOUNDS.iter().position(|bound| seconds <= *bound) {
                Some(bucket) => self.counts[bucket] += count,
                None => self.beyond += count,
            }
        }
    }

    /// How many there are up to each bound.
    pub(super) fn cumulated(&self) -> impl Iterator<Item = (f64, u64)> {
        let counts = BOUNDS.iter().zip(self.counts);
        counts.scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((*bound, *sum))
        })
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.beyond
    }

    /// All durations together, in seconds.
    pub(super) fn sum(&self) -> f64 {
        self.sum
    }
}
