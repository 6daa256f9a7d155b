//! Conservation: the same thing counted in different books must agree.
//!
//! Tallies, latency histograms and series are kept apart, at different intervals and over different ways. Whatever is
//! lost or counted twice on one of them (an instance killed between two ticks, a late report, a policy that forgets an
//! attempt) makes them differ. Exact: there is no tolerance.

use std::fmt;

use super::{EdgeTotals, Ending, Measure, Series};

/// Two books that do not agree.
#[derive(Clone, Debug, PartialEq)]
pub struct Imbalance {
    /// The edge.
    pub edge: String,
    /// What should hold.
    pub law: &'static str,
    /// The left side.
    pub left: u64,
    /// The right side.
    pub right: u64,
}

impl fmt::Display for Imbalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} does not hold: {} against {}", self.edge, self.law, self.left, self.right)
    }
}

/// What of an edge's books does not agree; nothing if all is well.
pub(super) fn check(edge: &EdgeTotals, series: &Series) -> Vec<Imbalance> {
    let name = edge.name();
    let tally = &edge.tally;
    let summed = |what: &str| series.total(&format!("{name}.{what}")) as u64;
    let measured = |measures: &[Measure]| measures.iter().map(|&m| edge.histograms.count(m)).sum();
    let (ok, unanswered) = (tally.requests.of(Ending::Ok), tally.requests.unanswered());
    let attempts = tally.attempts.total();

    let equal: [(&str, u64, u64); 10] = [
        (
            "requests in series = ok + failed + rejected + timed out in series",
            summed("requests"),
            ["ok", "failed", "rejected", "timed_out"].into_iter().map(summed).sum(),
        ),
        ("requests in series = requests", summed("requests"), tally.requests.total()),
        ("attempts in series = attempts", summed("attempts"), attempts),
        ("retries in series = retries", summed("retries"), tally.retries),
        ("wasted in series = wasted requests", summed("wasted"), edge.waste.requests),
        ("answered latencies, intended = answered requests", measured(&[Measure::IntendedOk]), ok),
        ("answered latencies, actual = answered requests", measured(&[Measure::ActualOk]), ok),
        ("other latencies, intended = other requests", measured(&[Measure::IntendedFailed]), unanswered),
        (
            "latencies of first attempts = attempts - retries",
            measured(&[Measure::FirstAttemptOk, Measure::FirstAttemptFailed]),
            edge.first_attempts(),
        ),
        (
            "latencies of retries = retries",
            measured(&[Measure::RetryOk, Measure::RetryFailed]),
            tally.retries,
        ),
    ];
    let at_most: [(&str, u64, u64); 3] = [
        ("retries <= attempts", tally.retries, attempts),
        ("answered requests <= answered attempts", ok, tally.attempts.of(Ending::Ok)),
        // A request ends after its first attempt, or without one if a policy or the deadline kept it back.
        (
            "requests <= first attempts + short-circuited + timed out",
            tally.requests.total(),
            edge.first_attempts() + tally.short_circuits() + tally.requests.of(Ending::TimedOut),
        ),
    ];
    let broken = equal.into_iter().filter(|(_, left, right)| left != right);
    let exceeded = at_most.into_iter().filter(|(_, left, right)| left > right);
    broken
        .chain(exceeded)
        .map(|(law, left, right)| Imbalance { edge: name.clone(), law, left, right })
        .collect()
}
