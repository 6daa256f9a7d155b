//! What outlives a single call: the budgets, breakers, limits and throttles of a stack.
//!
//! When an operator toggles one value of a policy, everything else must go on as it was: a breaker that closed because
//! somebody changed a time-out would be an outcome the toggle did not cause. So a new policy takes over each part of
//! the old state whose settings are the same.

use std::sync::{Arc, Mutex};

use eastfall_topology::{Concurrency, Policy};
use rand::SeedableRng as _;
use tokio::sync::Semaphore;
use tower::retry::RetryLayer;

use super::breaker::Breaker;
use super::concurrency::adaptive::{self, Adaptive};
use super::concurrency::fixed::Bulkhead;
use super::concurrency::queue::QueueLayer;
use super::observer::{Observer, SharedRng};
use super::rate::Rate;
use super::recording::Recording;
use super::retry::budget::Budget;
use super::retry::{Retrier, Session};
use super::throttle::Throttle;
use crate::rng::Rng;

/// The random numbers of a stack: a stream for each use, so that one more draw in one leaves the other as it was.
pub(super) struct Random {
    pub(super) jitter: SharedRng,
    pub(super) throttle: SharedRng,
}

impl Random {
    pub(super) fn new(mut rng: Rng) -> Self {
        let mut stream = || Arc::new(Mutex::new(Rng::from_rng(&mut rng)));
        Random { jitter: stream(), throttle: stream() }
    }
}

/// The state of a stack.
pub(super) struct State {
    pub(super) budget: Option<Arc<Budget>>,
    pub(super) breaker: Option<Arc<Breaker>>,
    pub(super) concurrency: Option<(Concurrency, Slots)>,
    pub(super) rate: Option<Arc<Rate>>,
    pub(super) throttle: Option<Arc<Throttle>>,
    pub(super) recording: Arc<Recording>,
}

/// What a concurrency limit counts with.
#[derive(Clone)]
pub(super) enum Slots {
    Shed(Arc<Bulkhead>),
    Queue(Arc<Semaphore>),
    Adaptive(Arc<Adaptive>),
}

impl State {
    pub(super) fn new(
        policy: &Policy,
        old: Option<&State>,
        observer: &Arc<Observer>,
        random: &Random,
    ) -> State {
        State {
            budget: keep(
                policy.budget.as_ref(),
                old.and_then(|old| old.budget.as_ref()),
                Budget::settings,
                Budget::new,
            ),
            breaker: keep(
                policy.breaker.as_ref(),
                old.and_then(|old| old.breaker.as_ref()),
                Breaker::settings,
                |new| Breaker::new(new, observer),
            ),
            concurrency: policy.concurrency.map(|new| match old.and_then(|old| old.concurrency.as_ref()) {
                Some((settings, slots)) if *settings == new => (new, slots.clone()),
                _ => (new, Slots::new(&new, observer)),
            }),
            rate: keep(policy.rate.as_ref(), old.and_then(|old| old.rate.as_ref()), Rate::settings, |new| {
                Rate::new(new, observer)
            }),
            throttle: keep(
                policy.throttle.as_ref(),
                old.and_then(|old| old.throttle.as_ref()),
                Throttle::settings,
                |new| Throttle::new(new, &random.throttle, observer),
            ),
            recording: Arc::new(Recording::new(observer)),
        }
    }

    pub(super) fn retry(
        &self,
        policy: &Policy,
        random: &Random,
        observer: &Arc<Observer>,
    ) -> Option<RetryLayer<Session>> {
        let settings = policy.retry.as_ref()?;
        let retrier = Retrier::new(settings, self.budget.as_ref(), &random.jitter, observer);
        Some(RetryLayer::new(Session::new(retrier)))
    }

    pub(super) fn bulkhead(&self) -> Option<&Arc<Bulkhead>> {
        match &self.concurrency {
            Some((_, Slots::Shed(bulkhead))) => Some(bulkhead),
            _ => None,
        }
    }

    pub(super) fn queue(&self) -> Option<QueueLayer> {
        match &self.concurrency {
            Some((_, Slots::Queue(slots))) => Some(QueueLayer::new(slots)),
            _ => None,
        }
    }

    pub(super) fn adaptive(&self) -> Option<&Arc<Adaptive>> {
        match &self.concurrency {
            Some((_, Slots::Adaptive(adaptive))) => Some(adaptive),
            _ => None,
        }
    }
}

impl Slots {
    fn new(settings: &Concurrency, observer: &Arc<Observer>) -> Slots {
        match *settings {
            Concurrency::Fixed { limit, queue } => {
                let slots = Arc::new(Semaphore::new(limit as usize));
                if queue {
                    Slots::Queue(slots)
                } else {
                    Slots::Shed(Arc::new(Bulkhead::new(&slots, observer)))
                }
            }
            Concurrency::Adaptive {
                min,
                max,
                update_interval,
                minimum_interval,
                minimum_samples,
                buffer,
                percentile,
            } => {
                let settings = adaptive::Settings {
                    min,
                    max,
                    update_interval,
                    minimum_interval,
                    minimum_samples,
                    buffer,
                    percentile,
                };
                Slots::Adaptive(Arc::new(Adaptive::new(settings, observer)))
            }
        }
    }
}

/// The old part if it has the new settings, else a new one.
fn keep<S: PartialEq, T>(
    new: Option<&S>,
    old: Option<&Arc<T>>,
    settings: fn(&T) -> &S,
    make: impl FnOnce(&S) -> T,
) -> Option<Arc<T>> {
    let new = new?;
    Some(match old {
        Some(old) if settings(old) == new => Arc::clone(old),
        _ => Arc::new(make(new)),
    })
}
