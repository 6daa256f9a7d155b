//! A run in one object: what `--json` prints and `summary.json` holds. Its keys are a contract with users' scripts.
//!
//! All but `wall_s` and `peak_rss_bytes` follow from scenario, settings and seed.

use eastfall_chaos::expect::{CheckResult, Evaluation, MilestoneResult, Period};
use eastfall_chaos::timeline::Timeline;
use eastfall_fabric::record::{EdgeTotals, Ending, Latencies, Results, SystemTotals, Window};
use eastfall_topology::time::Moment;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// A run in one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// The scenario's id.
    pub scenario: String,
    /// The seed of all randomness.
    pub seed: u64,
    /// Incident time that was lived through, in seconds, warm-up included.
    pub simulated_s: f64,
    /// Wall time that took, in seconds.
    pub wall_s: f64,
    /// Attempts on all edges together.
    pub rpcs: u64,
    /// The largest resident memory of the process, in bytes; 0 where the system does not tell.
    pub peak_rss_bytes: u64,
    /// In the order of the expectations.
    pub milestones: Vec<Milestone>,
    /// In the order of the expectations.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// Impact windows of the systems that the expectations define them for by a condition of their own. Where the system has
    /// customers, `systems` has the same windows.
    #[serde(default)]
    pub windows: IndexMap<String, Vec<WindowSummary>>,
    /// Systems that somebody outside them calls, as their customers saw them.
    pub systems: IndexMap<String, SystemSummary>,
    /// Edges by name, `caller->callee`.
    pub edges: IndexMap<String, EdgeSummary>,
}

/// When a milestone came. Times are RFC 3339 in the incident's own offset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Milestone {
    /// Its id.
    pub id: String,
    /// When it came, if it did.
    pub at: Option<String>,
    /// When it really was, if that is published.
    pub published: Option<String>,
    /// Minutes later than published; negative is earlier.
    pub error_min: Option<f64>,
    /// True if the run has no system that it could show in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
}

/// How a check came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Its id.
    pub id: String,
    /// `passed`, `failed`, or `skipped` where the run can't say.
    pub verdict: String,
    /// One sentence for people.
    pub found: String,
}

/// One system as its customers saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemSummary {
    /// Requests that ended.
    pub requests: u64,
    /// Those that failed or timed out.
    pub failed: u64,
    /// Those that were refused on purpose: throttled, shed, or kept back by a policy of the client.
    pub rejected: u64,
    /// Attempts other than the first.
    pub retries: u64,
    /// Attempts for each first attempt; 1 is no amplification, 0 where nothing was sent.
    pub amplification: f64,
    /// The same in the worst minute of those with at least ten first attempts.
    pub peak_amplification: f64,
    /// Answered requests per second of the run.
    pub goodput_per_s: f64,
    /// Requests that had a worker's attention in the system's services although their callers had given up, whoever had
    /// asked.
    pub wasted: u64,
    /// The workers' time that went into them, in seconds.
    pub wasted_s: f64,
    /// The length of all windows together, in minutes.
    pub impact_min: f64,
    /// When it let its customers down.
    pub windows: Vec<WindowSummary>,
    /// Median latency of requests, whatever their end, from their intended start, in milliseconds; 0 without any.
    pub p50_ms: f64,
    /// 99th percentile of the same.
    pub p99_ms: f64,
    /// 99.9th percentile of the same.
    pub p999_ms: f64,
}

/// An impact window, in RFC 3339.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSummary {
    /// The start of the first bad minute.
    pub from: String,
    /// The end of the last bad minute.
    pub to: String,
}

/// One edge, all calling instances together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeSummary {
    /// Requests that ended, each counted once however many attempts it took.
    pub requests: u64,
    /// Attempts that ended.
    pub attempts: u64,
    /// Attempts for each first attempt; 1 is no amplification, 0 where nothing was sent.
    pub amplification: f64,
    /// The same in the worst minute of those with at least ten first attempts.
    pub peak_amplification: f64,
    /// Answered requests per second of the run.
    pub goodput_per_s: f64,
    /// Requests that were not answered: failed, timed out or rejected. `requests` less these were.
    pub failed: u64,
    /// Requests or attempts that a client-side policy kept back without sending anything.
    pub short_circuited: u64,
    /// Requests that had a worker's attention at the callee although their caller had given up.
    pub wasted: u64,
    /// The workers' time that went into them, in seconds.
    pub wasted_s: f64,
    /// Median latency of requests, whatever their end, from their intended start, in milliseconds; 0 without any.
    pub p50_ms: f64,
    /// 99th percentile of the same.
    pub p99_ms: f64,
}

/// What of a run its results don't know.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The scenario's id.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Wall time it took, in seconds.
    pub wall_s: f64,
    /// The largest resident memory, in bytes; 0 if unknown.
    pub peak_rss_bytes: u64,
}

impl Summary {
    /// Sums up a finished run.
    pub fn of(results: &Results, timeline: &Timeline, facts: Facts, evaluation: &Evaluation) -> Self {
        let Facts { scenario, seed, wall_s, peak_rss_bytes } = facts;
        let system = |totals: SystemTotals| (totals.name.to_string(), SystemSummary::of(&totals, timeline));
        let mut systems: IndexMap<String, SystemSummary> = results.systems().map(system).collect();
        let mut windows = IndexMap::new();
        for result in &evaluation.windows {
            let own: Vec<WindowSummary> =
                result.windows.iter().map(|period| WindowSummary::of(*period, timeline)).collect();
            if let Some(system) = systems.get_mut(&result.system) {
                let impact: f64 = result.windows.iter().map(|w| w.to.since(w.from).as_secs_f64()).sum();
                (system.windows, system.impact_min) = (own.clone(), impact / 60.0);
            }
            windows.insert(result.system.clone(), own);
        }
        Summary {
            scenario,
            seed,
            simulated_s: results.length().as_secs_f64(),
            wall_s,
            rpcs: results.rpcs(),
            peak_rss_bytes,
            milestones: evaluation
                .milestones
                .iter()
                .map(|milestone| Milestone::of(milestone, timeline))
                .collect(),
            checks: evaluation.checks.iter().map(Check::of).collect(),
            windows,
            systems,
            edges: results.edges().map(|totals| (totals.name(), EdgeSummary::of(totals, results))).collect(),
        }
    }
}

impl Milestone {
    fn of(result: &MilestoneResult, timeline: &Timeline) -> Self {
        Milestone {
            id: result.id.clone(),
            at: result.at.map(|moment| written(timeline, moment)),
            published: result.published.map(|date| timeline.written(date)),
            error_min: result.error_min,
            skipped: result.skipped,
        }
    }
}

impl Check {
    fn of(result: &CheckResult) -> Self {
        Check { id: result.id.clone(), verdict: result.verdict.to_string(), found: result.found.clone() }
    }
}

impl WindowSummary {
    fn of(period: Period, timeline: &Timeline) -> Self {
        WindowSummary { from: written(timeline, period.from), to: written(timeline, period.to) }
    }
}

impl SystemSummary {
    fn of(totals: &SystemTotals, timeline: &Timeline) -> Self {
        let window =
            |window: &Window| WindowSummary::of(Period { from: window.from, to: window.to }, timeline);
        SystemSummary {
            requests: totals.tally.requests.total(),
            failed: totals.failed(),
            rejected: totals.rejected(),
            retries: totals.tally.retries,
            amplification: totals.amplification(),
            peak_amplification: totals.peak_amplification,
            goodput_per_s: totals.goodput,
            wasted: totals.waste.requests,
            wasted_s: totals.waste.worker.as_secs_f64(),
            impact_min: totals.impact().as_secs_f64() / 60.0,
            windows: totals.windows.iter().map(window).collect(),
            p50_ms: quantile_ms(&totals.latencies, 0.5),
            p99_ms: quantile_ms(&totals.latencies, 0.99),
            p999_ms: quantile_ms(&totals.latencies, 0.999),
        }
    }
}

impl EdgeSummary {
    fn of(totals: &EdgeTotals, results: &Results) -> Self {
        let latencies = totals.histograms.requests();
        let answered = totals.tally.requests.of(Ending::Ok) as f64;
        EdgeSummary {
            requests: totals.tally.requests.total(),
            attempts: totals.tally.attempts.total(),
            amplification: totals.amplification(),
            peak_amplification: results.peak_amplification(totals),
            goodput_per_s: answered / results.length().as_secs_f64().max(1e-9),
            failed: totals.tally.requests.unanswered(),
            short_circuited: totals.tally.short_circuits(),
            wasted: totals.waste.requests,
            wasted_s: totals.waste.worker.as_secs_f64(),
            p50_ms: quantile_ms(&latencies, 0.5),
            p99_ms: quantile_ms(&latencies, 0.99),
        }
    }
}

/// A moment of a run as results write it: RFC 3339 in the incident's own offset.
pub(crate) fn written(timeline: &Timeline, moment: Moment) -> String {
    timeline.written(timeline.date(moment))
}

fn quantile_ms(latencies: &Latencies, share: f64) -> f64 {
    latencies.quantile(share).as_millis_f64()
}
