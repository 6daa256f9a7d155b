//! Counts what is really sent: the last gate before the wire.
//!
//! It lies inside everything that refuses, so that attempts are what the callee was asked, and outside the time-out,
//! so that an attempt nobody waited for counts as timed out and not as lost. An attempt whose caller is gone already
//! (it waited for a slot, say) is work for nobody, and is not sent.

use std::sync::Arc;

use eastfall_topology::time::Moment;
use tonic::Code;

use super::attempt::{Attempt, Refusal};
use super::gate::{End, Gate};
use super::observer::Observer;
use crate::record::Ending;

/// Records every attempt that is sent.
#[derive(Debug)]
pub struct Recording {
    observer: Arc<Observer>,
}

impl Recording {
    /// Records where the observer says.
    pub fn new(observer: &Arc<Observer>) -> Self {
        Recording { observer: Arc::clone(observer) }
    }
}

/// An attempt under way.
#[derive(Debug)]
pub struct Sent {
    number: u32,
    started: Moment,
}

impl Gate for Recording {
    type Permit = Sent;

    fn admit(&self, attempt: &Attempt) -> Result<Sent, Refusal> {
        let started = self.observer.now();
        if attempt.has_expired(started) {
            return Err(self.observer.refuse(
                "deadline",
                Code::DeadlineExceeded,
                "the time for all attempts is up",
            ));
        }
        Ok(Sent { number: attempt.number, started })
    }

    fn settle(&self, sent: Sent, end: End) {
        let ending = match end {
            End::Sent(ending) => ending,
            // A hedge that lost, or a caller that went away.
            End::Abandoned => Ending::TimedOut,
            End::Refused => return,
        };
        self.observer.recorder.attempt(sent.number, ending, sent.started, self.observer.now());
    }
}
