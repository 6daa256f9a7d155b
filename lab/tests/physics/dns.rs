//! Resolvers that believe a name has no address, and how their hosts come back.
//!
//! What it guards: why customers recovered over the quarter of an hour after DynamoDB's record was back, and not at once.

use eastfall_topology::time::Span;

use crate::lab::Experiment;
use crate::statistics;

/// For how long absence is believed, and how long a host goes on average without asking anything, in the outage (s).
const NEGATIVE: f64 = 900.0;
const PAUSE: f64 = 900.0;

#[test]
fn hosts_recover_uniformly_over_the_time_for_which_absence_is_believed() {
    let ran = Experiment::of("negative-cache.scenario.toml").run();
    let repaired = Span::from_mins(250);
    let step = Span::from_secs(30);
    let mut largest: f64 = 0.0;
    for window in 0..30 {
        let from = repaired + step * window;
        let requests = ran.sum("clients->dynamodb.requests", from, from + step);
        assert!(requests > 25_000.0, "{}: too few to judge: {requests}", ran.command);
        let failing = 1.0 - ran.sum("clients->dynamodb.ok", from, from + step) / requests;
        // A host believes for NEGATIVE, asks nothing for PAUSE, and so on: of all hosts so many believe at the repair,
        // and how much longer is uniform.
        let believed = NEGATIVE / (NEGATIVE + PAUSE);
        let since = (step * window).as_secs_f64() + step.as_secs_f64() / 2.0;
        let recovered = 1.0 - failing / believed;
        largest = largest.max((recovered - since / NEGATIVE).abs());
    }
    statistics::row("negative TTL 900 s: distance to a uniform recovery", 0.0, largest, "0.03");
    assert!(largest < 0.03, "{}: {largest} away from a uniform recovery", ran.command);
    let (over, end) = (repaired + Span::from_secs(901), repaired + Span::from_secs(1000));
    let late = ran.sum("clients->dynamodb.requests", over, end) - ran.sum("clients->dynamodb.ok", over, end);
    assert_eq!(late, 0.0, "{}: after that all are back", ran.command);
}
