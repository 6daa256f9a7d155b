//! Not even trying for a while: a circuit breaker.
//!
//! Calls to a callee that is down cost their callers a time-out each, and the callee the work of failing them just when
//! it tries to come back. A breaker notices, fails the calls at once, and after a pause lets a few probes through.
//!
//! *Closed* means that calls flow. `machine` has one method for what each phase does, `tally` what a closed breaker
//! remembers of its calls. A failure is an attempt that was sent and ended as failed, rejected or timed out: a callee
//! that throttles is not well either. An answer that tells the caller of its own mistake is a success. Refusals further
//! in and calls whose caller went away say nothing of the callee; if one was a probe, its place is free again. A call
//! that began before the breaker opened or closed says nothing of what came after.

mod machine;
mod tally;

use std::sync::{Arc, Mutex};

use eastfall_topology as topology;
use eastfall_topology::time::Moment;
use tonic::Code;

pub use self::machine::BreakerState;
use self::machine::{Change, Machine};
use self::tally::Verdict;
use super::attempt::{Attempt, Refusal};
use super::gate::{End, Gate};
use super::observer::{Observer, lock};
use crate::record::Ending;

/// The breaker of one caller instance on one edge.
#[derive(Debug)]
pub struct Breaker {
    settings: topology::Breaker,
    machine: Mutex<Machine>,
    observer: Arc<Observer>,
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: &topology::Breaker, observer: &Arc<Observer>) -> Self {
        observer.recorder.breakers(|breakers| breakers.all += 1);
        let machine = Mutex::new(Machine::new(*settings));
        Breaker { settings: *settings, machine, observer: Arc::clone(observer) }
    }

    /// What it was made with.
    pub fn settings(&self) -> &topology::Breaker {
        &self.settings
    }

    /// Whether calls flow.
    pub fn state(&self) -> BreakerState {
        lock(&self.machine).state()
    }

    /// Tells of a change, and counts it among the states of the edge's breakers.
    fn report(&self, change: Option<Change>) {
        let Some(change) = change else { return };
        let opened = |reason: &str| {
            let open_for = self.settings.open_for.to_string();
            self.observer.event("breaker.opened", &[("reason", reason.to_owned()), ("open_for", open_for)]);
        };
        match change {
            Change::Opened(reason) => opened(reason),
            Change::Reopened => opened("a probe failed"),
            Change::HalfOpened => self.observer.event("breaker.half-open", &[]),
            Change::Closed => self.observer.event("breaker.closed", &[]),
        }
        self.observer.recorder.breakers(|breakers| match change {
            Change::Opened(_) => breakers.open += 1,
            Change::HalfOpened => {
                breakers.open -= 1;
                breakers.half_open += 1;
            }
            Change::Reopened => {
                breakers.half_open -= 1;
                breakers.open += 1;
            }
            Change::Closed => breakers.half_open -= 1,
        });
    }
}

impl Drop for Breaker {
    /// Its host is gone, or another policy has taken its place.
    fn drop(&mut self) {
        let state = self.state();
        self.observer.recorder.breakers(|breakers| {
            breakers.all -= 1;
            match state {
                BreakerState::Closed => {}
                BreakerState::Open { .. } => breakers.open -= 1,
                BreakerState::HalfOpen => breakers.half_open -= 1,
            }
        });
    }
}

/// A call that the breaker let through.
#[derive(Debug)]
pub struct Permit {
    /// The phase it began in.
    phase: u64,
    started: Moment,
}

impl Gate for Breaker {
    type Permit = Permit;

    fn admit(&self, _: &Attempt) -> Result<Permit, Refusal> {
        let now = self.observer.now();
        let mut machine = lock(&self.machine);
        let (admitted, change) = machine.admit(now);
        let phase = machine.phase();
        drop(machine);
        self.report(change);
        if admitted {
            Ok(Permit { phase, started: now })
        } else {
            Err(self.observer.refuse("breaker", Code::Unavailable, "open after failures"))
        }
    }

    fn settle(&self, permit: Permit, end: End) {
        let now = self.observer.now();
        let slow = self.settings.slow_call.is_some_and(|slow| now.since(permit.started) > slow.duration);
        let verdict = match end {
            End::Sent(ending) => Some(Verdict { failed: ending != Ending::Ok, slow }),
            End::Refused | End::Abandoned => None,
        };
        let change = lock(&self.machine).settle(now, permit.phase, verdict);
        self.report(change);
    }
}
