//! The client throttle of Google's SRE book: rejecting by the share that was accepted of late.
//!
//! An overloaded server spends its time on saying no. A client that remembers how often it was told so says no to
//! itself instead, with p = max(0, (requests - k accepts) / (requests + 1)): at k = 2 the callee sees at most about
//! twice what it accepts, and a few calls still pass, so that recovery is seen. Every attempt counts as a request,
//! those rejected here too; an attempt counts as accepted if it was answered.

use std::sync::{Arc, Mutex};

use eastfall_topology::ClientThrottle;
use eastfall_topology::time::Moment;
use rand::RngExt as _;
use tonic::Code;

use super::attempt::{Attempt, Refusal};
use super::gate::{End, Gate};
use super::observer::{Observer, SharedRng, lock};
use super::window::Window;
use crate::record::Ending;

const REQUESTS: usize = 0;
const ACCEPTS: usize = 1;

/// Rejects a share of the attempts, by what became of those before.
#[derive(Debug)]
pub struct Throttle {
    settings: ClientThrottle,
    counts: Mutex<Window<2>>,
    rng: SharedRng,
    observer: Arc<Observer>,
}

impl Throttle {
    /// A throttle that has seen nothing yet.
    pub fn new(settings: &ClientThrottle, rng: &SharedRng, observer: &Arc<Observer>) -> Self {
        let counts = Mutex::new(Window::new(settings.window));
        Throttle { settings: *settings, counts, rng: Arc::clone(rng), observer: Arc::clone(observer) }
    }

    /// What it was made with.
    pub fn settings(&self) -> &ClientThrottle {
        &self.settings
    }

    /// The share of attempts that it rejects at present.
    pub fn rejection(&self, now: Moment) -> f64 {
        let [requests, accepts] = lock(&self.counts).totals(now);
        rejection(self.settings.k, requests, accepts)
    }
}

fn rejection(k: f64, requests: u64, accepts: u64) -> f64 {
    let requests = requests as f64;
    ((requests - k * accepts as f64) / (requests + 1.0)).max(0.0)
}

impl Gate for Throttle {
    type Permit = ();

    fn admit(&self, _: &Attempt) -> Result<(), Refusal> {
        let now = self.observer.now();
        let share = self.rejection(now);
        lock(&self.counts).add(now, REQUESTS);
        // No draw while nothing is rejected, so that a healthy edge costs no random numbers.
        if share > 0.0 && lock(&self.rng).random::<f64>() < share {
            Err(self.observer.refuse(
                "throttle",
                Code::Unavailable,
                "the callee accepts too few of these calls",
            ))
        } else {
            Ok(())
        }
    }

    fn settle(&self, (): (), end: End) {
        if end == End::Sent(Ending::Ok) {
            lock(&self.counts).add(self.observer.now(), ACCEPTS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_rejected_share_is_a_share_and_zero_while_enough_is_accepted(
            k in 1.0f64..10.0, accepts in 0u64..10_000, failures in 0u64..10_000,
        ) {
            let requests = accepts + failures;
            let share = rejection(k, requests, accepts);
            prop_assert!((0.0..1.0).contains(&share), "{share} is not a share");
            if requests as f64 <= k * accepts as f64 {
                prop_assert_eq!(share, 0.0, "{} of {} accepted at k = {}", accepts, requests, k);
            }
        }
    }
}
