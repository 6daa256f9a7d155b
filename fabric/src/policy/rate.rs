//! A limit on how many calls may start in a time: a token bucket that sheds.
//!
//! It keeps a fleet that comes back at once from asking for everything at once (a throttled re-admission), and a
//! single client from taking all of a callee. It refuses and does not queue: a queue in front of a rate only moves
//! the waiting to where nobody sees it.

use std::sync::{Arc, Mutex};

use eastfall_topology::RateLimit;
use tonic::Code;

use super::attempt::{Attempt, Refusal};
use super::gate::{End, Gate};
use super::observer::{Observer, lock};
use crate::token_bucket::TokenBucket;

/// A token bucket; a call takes a token, and is refused if there is none.
#[derive(Debug)]
pub struct Rate {
    settings: RateLimit,
    bucket: Mutex<TokenBucket>,
    observer: Arc<Observer>,
}

impl Rate {
    /// A full bucket.
    pub fn new(settings: &RateLimit, observer: &Arc<Observer>) -> Self {
        let bucket = TokenBucket::full(settings, observer.now());
        Rate { settings: *settings, bucket: Mutex::new(bucket), observer: Arc::clone(observer) }
    }

    /// What it was made with.
    pub fn settings(&self) -> &RateLimit {
        &self.settings
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
