//! The totals of a run: by edge, by system, by serving service.

use std::sync::Arc;

use eastfall_topology::time::Span;

use super::{Ending, Histograms, Latencies, Tally, Waste, Window};

/// One edge over the whole run.
#[derive(Clone, Debug)]
pub struct EdgeTotals {
    /// The calling service.
    pub caller: Arc<str>,
    /// The called service.
    pub callee: Arc<str>,
    /// What came to an end.
    pub tally: Tally,
    /// What its callee did in vain.
    pub waste: Waste,
    /// All latencies.
    pub histograms: Histograms,
}

impl EdgeTotals {
    /// The edge's name, `caller->callee`.
    pub fn name(&self) -> String {
        edge_name(&self.caller, &self.callee)
    }

    /// Attempts for each first attempt; 1 is no amplification, 0 where nothing was sent.
    pub fn amplification(&self) -> f64 {
        amplification(&self.tally)
    }

    /// First attempts.
    pub fn first_attempts(&self) -> u64 {
        self.tally.first_attempts()
    }
}

/// One system over the whole run, as its customers saw it.
#[derive(Clone, Debug)]
pub struct SystemTotals {
    /// The system.
    pub name: Arc<str>,
    /// What came to an end on the edges that count for it (see [`super::Layout::systems`]).
    pub tally: Tally,
    /// Latencies of requests from their intended start, whatever their end.
    pub latencies: Latencies,
    /// When it let its customers down.
    pub windows: Vec<Window>,
    /// Answered requests per second of the run.
    pub goodput: f64,
    /// Attempts for each first attempt, in the worst minute (see [`super::Results::peak_amplification`]).
    pub peak_amplification: f64,
    /// What its services did in vain, whoever had asked, their own callers among themselves included.
    pub waste: Waste,
}

impl SystemTotals {
    /// Requests that failed or timed out.
    pub fn failed(&self) -> u64 {
        self.tally.requests.of(Ending::Failed) + self.tally.requests.of(Ending::TimedOut)
    }

    /// Attempts for each first attempt; 1 is no amplification, 0 where nothing was sent.
    pub fn amplification(&self) -> f64 {
        amplification(&self.tally)
    }

    /// Requests that were refused on purpose.
    pub fn rejected(&self) -> u64 {
        self.tally.requests.of(Ending::Rejected)
    }

    /// The length of all windows together.
    pub fn impact(&self) -> Span {
        self.windows.iter().fold(Span::ZERO, |sum, window| sum + window.length())
    }
}

/// One service over the whole run, as its own servers saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServerTotals {
    /// Requests answered.
    pub served: u64,
    /// Requests turned away.
    pub rejected: u64,
    /// Requests given up on the way, since their callers had gone.
    pub cancelled: u64,
    /// Requests answered after their callers had given up.
    pub late: u64,
    /// Requests that got a worker.
    pub waited: u64,
    /// How many of these found no free worker and had to wait.
    pub queued: u64,
    /// How long all of these waited, together.
    pub wait: Span,
    /// The queue's length, added up over time.
    pub queue: Span,
    /// How long all answered and cancelled requests were here, together.
    pub time: Span,
    /// Workers' time that went into requests whose callers had given up.
    pub wasted: Span,
}

impl ServerTotals {
    /// The share of answers that came too late, 0..=1: work done for nobody.
    pub fn late_share(&self) -> f64 {
        share(self.late as f64, self.served as f64)
    }

    /// Answers in time per second of the run.
    pub fn goodput(&self, run: Span) -> f64 {
        share(self.served.saturating_sub(self.late) as f64, run.as_secs_f64())
    }
}

/// An edge's name in series and results.
pub(super) fn edge_name(caller: &str, callee: &str) -> String {
    format!("{caller}->{callee}")
}

fn amplification(tally: &Tally) -> f64 {
    share(tally.attempts.total() as f64, tally.first_attempts() as f64)
}

/// A part of a whole; zero of nothing.
pub(super) fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
