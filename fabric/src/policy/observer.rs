//! What the layers of one edge share: the clock, the recorder, and where events go.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_topology::time::Moment;
use tonic::Code;

use super::attempt::Refusal;
use crate::clock::Clock;
use crate::record::EdgeRecorder;
use crate::rng::Rng;
use crate::trace::Tracer;

/// Takes the events of a stack: a constant kind such as `breaker.opened`, and fields.
pub type OnEvent = Arc<dyn Fn(&'static str, &[(&'static str, String)]) + Send + Sync>;

/// The eyes and the mouth of the layers of one edge.
pub struct Observer {
    /// The world's clock; layers read no other.
    pub clock: Clock,
    /// Where requests, attempts and refusals are counted.
    pub recorder: EdgeRecorder,
    /// Where events go, if anywhere.
    pub on_event: Option<OnEvent>,
    /// Who traces the edge's calls, if anybody does.
    pub tracing: Option<EdgeTracing>,
}

/// Tracing of one edge.
#[derive(Clone, Debug)]
pub struct EdgeTracing {
    /// Makes the spans.
    pub tracer: Arc<Tracer>,
    /// The called service.
    pub callee: Arc<str>,
}

impl Observer {
    /// The present moment.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Refuses to send, and counts the refusal.
    pub fn refuse(&self, policy: &'static str, code: Code, reason: &'static str) -> Refusal {
        self.recorder.short_circuited(policy);
        Refusal { policy, code, reason }
    }

    /// Reports a change of state.
    pub fn event(&self, kind: &'static str, fields: &[(&'static str, String)]) {
        if let Some(on_event) = &self.on_event {
            on_event(kind, fields);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// A seeded stream that a layer's clones draw from together.
///
/// Together, because a stream that is cloned for each call gives every call the same jitter: tower's own back-off does
/// that, and a thousand clients that failed at once then come back at once.
pub type SharedRng = Arc<Mutex<Rng>>;

/// Locks, and goes on after a panic elsewhere: the states behind these locks are valid after every statement.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
