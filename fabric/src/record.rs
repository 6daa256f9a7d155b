//! Recording: what happened on every edge, every event, every series.
//!
//! One place for all of it. A service says what happened as it happens; at every sampling tick the recorder hands over
//! what has come together since the last one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tonic::Code;

use crate::call::Outcome;
use eastfall_topology::time::Moment;

/// How a call ended, in the words of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// Answered. An answer that tells the caller of a mistake or a lost race of its own (a condition that did not hold,
    /// no such item) counts as answered: the service worked.
    Ok,
    /// An error of the service or of the way to it.
    Failed,
    /// Refused on purpose: throttled, shed, or kept back by a policy of the client.
    Rejected,
    /// The caller gave up first.
    TimedOut,
}

impl Ending {
    /// How this outcome counts.
    pub fn of(outcome: &Outcome) -> Ending {
        match outcome {
            Ok(_) => Ending::Ok,
            Err(status) => match status.code() {
                Code::DeadlineExceeded => Ending::TimedOut,
                Code::ResourceExhausted => Ending::Rejected,
                Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::FailedPrecondition
                | Code::PermissionDenied
                | Code::Unauthenticated
                | Code::OutOfRange => Ending::Ok,
                _ => Ending::Failed,
            },
        }
    }
}

/// Records one edge (caller to callee) as seen by one caller instance. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct EdgeRecorder(Arc<Mutex<EdgeTally>>);

/// Counts since the last sampling tick.
#[derive(Clone, Debug, Default)]
pub struct EdgeTally {
    /// Requests that ended, by how.
    pub requests: [u64; 4],
    /// Attempts that ended, by how.
    pub attempts: [u64; 4],
    /// Attempts other than the first.
    pub retries: u64,
    /// Requests or attempts that a client-side policy refused without sending anything.
    pub short_circuited: u64,
}

impl EdgeRecorder {
    fn tally(&self) -> MutexGuard<'_, EdgeTally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has ended. `intended` is when an open-loop client meant to send it, `started` when it did.
    pub fn request(&self, ending: Ending, intended: Moment, started: Moment, ended: Moment) {
        let _ = (intended, started, ended);
        self.tally().requests[ending as usize] += 1;
    }

    /// An attempt has ended; `number` is 0 for the first.
    pub fn attempt(&self, number: u32, ending: Ending, started: Moment, ended: Moment) {
        let _ = (started, ended);
        let mut tally = self.tally();
        tally.attempts[ending as usize] += 1;
        tally.retries += u64::from(number > 0);
    }

    /// A client-side policy (`breaker`, `budget`, `throttle`, `limit`, `rate`) refused to send.
    pub fn short_circuited(&self, policy: &'static str) {
        let _ = policy;
        self.tally().short_circuited += 1;
    }
}
