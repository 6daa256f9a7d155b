//! What travels through the layers, and how it fails.
//!
//! A failure that came back and a refusal of one of our own layers are two things, and the difference decides: a
//! retry after a refusal would ask the same closed door again in a tight loop, and a breaker that counted its own
//! refusals would never close. So the error says which it is, until the last layer makes a gRPC status of it.

use eastfall_topology::time::Moment;
use tonic::{Code, Status};

use crate::call::{Call, Outcome, Payload};
use crate::record::Ending;

/// One attempt at a request: what every layer takes.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What is sent. Its context's attempt counts over all layers that retry, also those of callers before us.
    pub call: Call,
    /// Which attempt on this edge it is: 0 is the first.
    pub number: u32,
    /// When nobody waits for an answer any more. The callee learns it only if the edge propagates deadlines.
    pub deadline: Option<Moment>,
}

impl Attempt {
    /// The first attempt of a request.
    pub fn first(call: Call) -> Self {
        Attempt { call, number: 0, deadline: None }
    }

    /// Makes this the attempt that comes `later` attempts after it.
    pub fn advance(&mut self, later: u32) {
        self.number += later;
        self.call.context.attempt = self.call.context.attempt.saturating_add(later);
    }

    /// True once nobody waits for an answer.
    pub fn has_expired(&self, now: Moment) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

/// How an attempt ended, inside the stack.
pub type AttemptResult = Result<Payload, Failure>;

/// Why an attempt has no answer.
#[derive(Clone, Debug)]
pub enum Failure {
    /// It was sent, and this came back, or nothing in time.
    Sent {
        /// The gRPC status.
        status: Status,
        /// What it counts as.
        ending: Ending,
    },
    /// A layer kept it back: nothing was sent.
    Refused(Refusal),
}

/// A layer's refusal to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{policy}: {reason}; nothing was sent")]
pub struct Refusal {
    /// The policy that refused: `breaker`, `limit`, `rate`, `throttle` or `deadline`.
    pub policy: &'static str,
    /// The code that the caller sees.
    pub code: Code,
    /// Why, in a few words.
    pub reason: &'static str,
}

impl Failure {
    /// Nothing came back in time.
    pub fn timed_out(message: &'static str) -> Self {
        Failure::Sent { status: Status::deadline_exceeded(message), ending: Ending::TimedOut }
    }

    /// The result of an attempt that was sent.
    pub fn of(outcome: Outcome) -> AttemptResult {
        let ending = Ending::of(&outcome);
        outcome.map_err(|status| Failure::Sent { status, ending })
    }

    /// What the failure counts as.
    pub fn ending(&self) -> Ending {
        match self {
            Failure::Sent { ending, .. } => *ending,
            Failure::Refused(refusal) if refusal.code == Code::DeadlineExceeded => Ending::TimedOut,
            Failure::Refused(_) => Ending::Rejected,
        }
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Status {
        match failure {
            Failure::Sent { status, .. } => status,
            Failure::Refused(refusal) => Status::new(refusal.code, refusal.to_string()),
        }
    }
}
