//! How long to wait before trying again.
//!
//! Clients that failed together come back together, unless chance spreads them: that is what jitter is for. The random
//! numbers come from one stream an edge which every request draws from, not from a copy each.

use eastfall_topology::{Backoff, Jitter, Retry, Span};
use rand::RngExt as _;

use crate::rng::Rng;

/// The pauses of one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pauses {
    /// The last one; decorrelated jitter grows from it.
    last: Option<Span>,
}

impl Pauses {
    /// The pause before a retry: 1 is the first. `base` is the base delay that applies to it.
    ///
    /// Decorrelated jitter grows by itself, so it makes no difference there whether the back-off is fixed or
    /// exponential.
    pub fn next(&mut self, settings: &Retry, base: Span, retry: u32, rng: &mut Rng) -> Span {
        let longest = settings.max_delay.max(base);
        let full = match settings.backoff {
            Backoff::None => return Span::ZERO,
            Backoff::Fixed => base,
            Backoff::Exponential => {
                let growth = settings.multiplier.powi(retry.saturating_sub(1).min(1_000) as i32);
                base.mul_f64(growth).min(longest)
            }
        };
        let pause = match settings.jitter {
            Jitter::None => full,
            Jitter::Full => uniform(Span::ZERO, full, rng),
            Jitter::Equal => uniform(full / 2, full, rng),
            Jitter::Decorrelated => {
                let last = self.last.unwrap_or(base);
                uniform(base, (last * 3).min(longest).max(base), rng)
            }
        };
        self.last = Some(pause);
        pause
    }
}

fn uniform(low: Span, high: Span, rng: &mut Rng) -> Span {
    Span::from_nanos(rng.random_range(low.as_nanos()..=high.as_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;
    use proptest::prelude::*;

    fn settings(backoff: Backoff, jitter: Jitter) -> Retry {
        Retry {
            attempts: 10,
            backoff,
            jitter,
            base_delay: Span::from_millis(50),
            max_delay: Span::from_secs(1),
            multiplier: 2.0,
            throttle_base_delay: None,
            retry_on: vec![],
        }
    }

    fn pauses(settings: &Retry, retries: u32) -> Vec<u64> {
        let mut rng = stream(1, "backoff");
        let mut pauses = Pauses::default();
        (1..=retries)
            .map(|retry| pauses.next(settings, settings.base_delay, retry, &mut rng).as_micros() / 1_000)
            .collect()
    }

    #[test]
    fn without_jitter_a_pause_is_what_the_settings_say() {
        assert_eq!(pauses(&settings(Backoff::None, Jitter::Full), 3), [0, 0, 0], "none");
        assert_eq!(pauses(&settings(Backoff::Fixed, Jitter::None), 3), [50, 50, 50], "fixed");
        let exponential = pauses(&settings(Backoff::Exponential, Jitter::None), 7);
        assert_eq!(exponential, [50, 100, 200, 400, 800, 1_000, 1_000], "exponential, up to the longest");
    }

    #[test]
    fn full_jitter_has_half_the_mean_of_no_jitter() {
        let settings = settings(Backoff::Fixed, Jitter::Full);
        let mut rng = stream(2, "backoff");
        let total: u64 = (0..100_000)
            .map(|_| Pauses::default().next(&settings, settings.base_delay, 1, &mut rng).as_nanos())
            .sum();
        let mean = total as f64 / 100_000.0 / 1e6;
        assert!((mean - 25.0).abs() < 0.25, "mean of 0..50 ms is {mean} ms");
    }

    proptest! {
        #[test]
        fn every_pause_lies_within_its_jitters_bounds(
            seed: u64, base in 0u64..10_000, multiplier in 1.0f64..100.0, retry in 1u32..100,
            jitter in prop::sample::select(vec![Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated]),
        ) {
            let settings = Retry { multiplier, ..settings(Backoff::Exponential, jitter) };
            let base = Span::from_millis(base);
            let (mut rng, mut pauses) = (stream(seed, "backoff"), Pauses::default());
            let longest = settings.max_delay.max(base);
            for _ in 0..3 {
                let before = pauses.last.unwrap_or(base);
                let pause = pauses.next(&settings, base, retry, &mut rng);
                let full = base.mul_f64(multiplier.powi(retry as i32 - 1)).min(longest);
                let (low, high) = match jitter {
                    Jitter::None => (full, full),
                    Jitter::Full => (Span::ZERO, full),
                    Jitter::Equal => (full / 2, full),
                    Jitter::Decorrelated => (base, (before * 3).max(base)),
                };
                prop_assert!(low <= pause && pause <= high.min(longest), "{pause} is not in {low}..={high}");
            }
        }
    }
}
