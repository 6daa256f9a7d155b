//! The token bucket: what may start in a time, with a burst after a pause.
//!
//! One arithmetic for both sides of a call: the rate limit of an edge (the caller holds itself back) and the throttle of
//! a service (the callee turns callers away).

use eastfall_topology::RateLimit;
use eastfall_topology::time::Moment;

/// Tokens, and when they were last counted.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    tokens: f64,
    filled: Moment,
}

impl TokenBucket {
    /// A full bucket.
    pub fn full(settings: &RateLimit, now: Moment) -> Self {
        TokenBucket { tokens: f64::from(settings.burst), filled: now }
    }

    /// Takes a token; false if there is none. Settings may differ from call to call: tokens beyond a smaller burst are
    /// lost.
    pub fn take(&mut self, settings: &RateLimit, now: Moment) -> bool {
        let gained = now.since(self.filled).as_secs_f64() * settings.per_second;
        self.tokens = (self.tokens + gained).min(f64::from(settings.burst));
        self.filled = now;
        // A token that is there but for the rounding of ten thousand small gains is there.
        let taken = self.tokens >= 1.0 - 1e-6;
        if taken {
            self.tokens = (self.tokens - 1.0).max(0.0);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_more_pass_than_the_burst_and_the_rate_allow(
            per_second in 0.1f64..10_000.0,
            burst in 1u32..50,
            gaps in prop::collection::vec(0u64..50_000_000, 1..200),
        ) {
            let settings = RateLimit { per_second, burst };
            let mut bucket = TokenBucket::full(&settings, Moment::START);
            let (mut now, mut passed) = (0, 0.0);
            for gap in gaps {
                now += gap;
                passed += f64::from(bucket.take(&settings, Moment::from_nanos(now)));
                let allowed = f64::from(burst) + per_second * now as f64 / 1e9;
                prop_assert!(passed <= allowed * (1.0 + 1e-5), "{passed} passed, {allowed} allowed after {now} ns");
            }
        }
    }

    #[test]
    fn a_steady_client_at_the_rate_is_never_refused() {
        let settings = RateLimit { per_second: 300.0, burst: 1 };
        let mut bucket = TokenBucket::full(&settings, Moment::START);
        let refused =
            (0..10_000u64).filter(|n| !bucket.take(&settings, Moment::from_nanos(n * 3_333_334))).count();
        assert_eq!(refused, 0, "every call comes a little later than a token");
    }
}
