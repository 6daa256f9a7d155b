//! Trying again: tower's retry, with our decision when, and whether at all.
//!
//! A retry hides a failure that is rare and brief, and multiplies the load when it is neither: with failure
//! probability p and n attempts the callee gets (1 - p^n) / (1 - p) calls for one, and three layers that retry make
//! n^3 of one. Hence the [`budget`], the jitter ([`backoff`]) and these rules:
//! - only errors of `retry-on` are tried again, and never a refusal of a layer of our own (an open breaker, a limit):
//!   asking again at once what has just said no is a tight loop. There is no setting for it; whoever wants to wait for
//!   a breaker retries one layer further up, where the refusal is an ordinary `unavailable`;
//! - no pause reaches the deadline: if it would, the last error is the answer, now and not at the deadline;
//! - every retry carries its number, added to that of the caller's attempt, so that servers see amplification.

pub mod backoff;
pub mod budget;

use std::sync::Arc;

use eastfall_topology::{self as topology, RetryOn};
use tonic::Code;
use tower::retry::Policy;

use self::backoff::Pauses;
use self::budget::Budget;
use super::attempt::{Attempt, AttemptResult, Failure};
use super::observer::{Observer, SharedRng, lock};
use crate::call::Payload;
use crate::clock::Sleep;
use crate::record::Ending;

/// Decides on retries for all requests of an edge.
#[derive(Debug)]
pub struct Retrier {
    settings: topology::Retry,
    budget: Option<Arc<Budget>>,
    rng: SharedRng,
    observer: Arc<Observer>,
}

impl Retrier {
    /// Retries by these settings, paid for from the budget if there is one.
    pub fn new(
        settings: &topology::Retry,
        budget: Option<&Arc<Budget>>,
        rng: &SharedRng,
        observer: &Arc<Observer>,
    ) -> Self {
        Retrier {
            settings: settings.clone(),
            budget: budget.cloned(),
            rng: Arc::clone(rng),
            observer: Arc::clone(observer),
        }
    }
}

/// One request and its attempts so far: tower clones it for each request.
#[derive(Clone, Debug)]
pub struct Session {
    retrier: Arc<Retrier>,
    /// Retries made.
    retries: u32,
    pauses: Pauses,
    /// What the last retry has cost.
    paid: f64,
}

impl Session {
    /// The beginning of every request.
    pub fn new(retrier: Retrier) -> Self {
        Session { retrier: Arc::new(retrier), retries: 0, pauses: Pauses::default(), paid: 0.0 }
    }
}

impl Policy<Attempt, Payload, Failure> for Session {
    type Future = Sleep;

    fn retry(&mut self, attempt: &mut Attempt, result: &mut AttemptResult) -> Option<Sleep> {
        let Retrier { settings, budget, rng, observer } = &*self.retrier;
        let (code, timed_out) = match result {
            Ok(_) => {
                if let Some(budget) = budget {
                    budget.succeeded(observer.now(), self.retries, self.paid);
                }
                return None;
            }
            Err(Failure::Sent { status, ending }) => (status.code(), *ending == Ending::TimedOut),
            Err(Failure::Refused(_)) => return None,
        };
        if !settings.retry_on.iter().any(|&retry_on| code_of(retry_on) == code) {
            return None;
        }
        let now = observer.now();
        if let Some(budget) = budget {
            budget.failed(now, self.retries);
        }
        if self.retries + 1 >= settings.attempts {
            return None;
        }
        let base = match settings.throttle_base_delay {
            Some(base) if code == Code::ResourceExhausted => base,
            _ => settings.base_delay,
        };
        let pause = self.pauses.next(settings, base, self.retries + 1, &mut lock(rng));
        if attempt.has_expired(now + pause) {
            return None;
        }
        if let Some(budget) = budget {
            match budget.withdraw(now, timed_out) {
                Some(paid) => self.paid = paid,
                None => {
                    observer.recorder.short_circuited("budget");
                    return None;
                }
            }
        }
        self.retries += 1;
        attempt.advance(1);
        Some(observer.clock.sleep_until(now + pause))
    }

    fn clone_request(&mut self, attempt: &Attempt) -> Option<Attempt> {
        Some(attempt.clone())
    }
}

fn code_of(retry_on: RetryOn) -> Code {
    match retry_on {
        RetryOn::Unavailable => Code::Unavailable,
        RetryOn::DeadlineExceeded => Code::DeadlineExceeded,
        RetryOn::ResourceExhausted => Code::ResourceExhausted,
        RetryOn::Aborted => Code::Aborted,
        RetryOn::Internal => Code::Internal,
        RetryOn::Unknown => Code::Unknown,
    }
}
