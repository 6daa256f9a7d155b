//! A limit on how many calls may start in a time: a token bucket that sheds.
//!
//! It keeps a fleet that comes back at once from asking for everything at once (a throttled re-admission), and a
//! single client from taking all of a callee. It refuses and does not queue: a queue in front of a rate only moves
//! the waiting to where nobody sees it.

use std::sync::{Arc, Mutex};

use eastfall_topology::RateLimit;
use eastfall_topology::time::Moment;
use tonic::Code;

use super::attempt::{Attempt, Refusal};
use super::gate::{End, Gate};
use super::observer::{Observer, lock};

/// A token bucket; a call takes a token, and is refused if there is none.
#[derive(Debug)]
pub struct Rate {
    settings: RateLimit,
    bucket: Mutex<Bucket>,
    observer: Arc<Observer>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Moment,
}

impl Rate {
    /// A full bucket.
    pub fn new(settings: &RateLimit, observer: &Arc<Observer>) -> Self {
        let bucket = Bucket { tokens: f64::from(settings.burst), filled: observer.now() };
        Rate { settings: *settings, bucket: Mutex::new(bucket), observer: Arc::clone(observer) }
    }

    /// What it was made with.
    pub fn settings(&self) -> &RateLimit {
        &self.settings
    }
}

impl Bucket {
    fn take(&mut self, settings: &RateLimit, now: Moment) -> bool {
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

impl Gate for Rate {
    type Permit = ();

    fn admit(&self, _: &Attempt) -> Result<(), Refusal> {
        if lock(&self.bucket).take(&self.settings, self.observer.now()) {
            Ok(())
        } else {
            Err(self.observer.refuse("rate", Code::ResourceExhausted, "calls a second are used up"))
        }
    }

    fn settle(&self, (): (), _: End) {}
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
            let mut bucket = Bucket { tokens: f64::from(burst), filled: Moment::START };
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
        let mut bucket = Bucket { tokens: 1.0, filled: Moment::START };
        let refused =
            (0..10_000u64).filter(|n| !bucket.take(&settings, Moment::from_nanos(n * 3_333_334))).count();
        assert_eq!(refused, 0, "every call comes a little later than a token");
    }
}
