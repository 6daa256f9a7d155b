//! Recording: what happened on every edge, every event, every series.
//!
//! A lab is only as good as its books. Three mistakes would make them lie, and are kept out here:
//! latency counts from when a request was *meant* to start (else a stalled callee hides its own stall: coordinated
//! omission), what failed is recorded with its latency too, and attempts are told apart from requests (else a retry
//! storm looks like load).
//!
//! The way of a number: a service says what happened to its [`Recorder`] as it happens; at every sampling tick the
//! recorder hands over what came together as [`Report`]s (as values in virtual time, as lines of JSON over a pipe live);
//! one [`Results`] a run adds the reports up, in whatever order instances deliver them.

mod balance;
mod deflate;
mod edge;
mod latency;
mod layout;
mod recorder;
mod report;
mod results;
mod series;
mod server;
mod totals;
mod window;

use tonic::Code;

use crate::call::Outcome;

pub use balance::Imbalance;
pub use deflate::DeflateSerializer;
pub use edge::EdgeRecorder;
pub use latency::{Histograms, Latencies, LatencyError, Measure};
pub use layout::{EdgeKey, Layout, Role};
pub use recorder::{Origin, Recorder};
pub use report::{
    Aggregate, Breakers, EdgeReport, Endings, Event, Reading, Report, Sample, ServedReport, Tally, Waste,
    WasteReport,
};
pub use results::{Interval, Results, Tick};
pub use series::Series;
pub use server::{Fate, ServerRecorder};
pub use totals::{EdgeTotals, ServerTotals, SystemTotals};
pub use window::Window;

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
