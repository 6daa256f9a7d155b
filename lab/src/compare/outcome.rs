//! A run reduced to what a comparison needs, and what the runs of a variant have together.
//!
//! A run's books take tens of megabytes, hundreds of runs are compared: so of each there remain a few hundred numbers as
//! soon as it ends, and its histograms are added to those of the same variant. Merging HDR histograms is exact: percentiles
//! of the merged ones are those of all requests of all seeds.

use std::collections::BTreeMap;

use eastfall_chaos::expect::Period;
use eastfall_fabric::record::{
    EdgeKey, Ending, Histograms, Latencies, Layout, Results, SystemTotals, Window,
};
use eastfall_topology::time::{Moment, Span};
use indexmap::IndexMap;

use crate::conclusion::Conclusion;
use crate::session::Session;

/// Numbers of one run by name. One that never came is infinite; what can't be said (a percentile of nothing) is absent.
pub(super) type Metrics = IndexMap<&'static str, f64>;

/// What remains of a run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    /// Minutes after the incident's start, by milestone.
    pub(super) milestones: IndexMap<String, f64>,
    /// Of all customers together.
    pub(super) customers: Metrics,
    /// Of the whole region.
    pub(super) region: Metrics,
    /// By system.
    pub(super) systems: IndexMap<String, Metrics>,
    /// By edge.
    pub(super) edges: IndexMap<String, Metrics>,
}

/// What the runs of one variant have together.
#[derive(Debug)]
pub(super) struct Merged {
    /// By seed.
    pub(super) outcomes: BTreeMap<u64, Outcome>,
    /// The latencies of all seeds, by edge.
    pub(super) edges: IndexMap<EdgeKey, Histograms>,
    /// Latencies that wait for those of earlier seeds, so that the sum is the same whoever ends first.
    waiting: BTreeMap<u64, IndexMap<EdgeKey, Histograms>>,
    next_seed: u64,
    /// The edges whose callers are customers.
    customers: Vec<EdgeKey>,
    /// The edges that count for each system.
    systems: IndexMap<String, Vec<EdgeKey>>,
}

impl Outcome {
    /// Reduces a run that reached the end of its session.
    pub(super) fn of(session: &Session, conclusion: &Conclusion) -> Outcome {
        let results = &conclusion.results;
        let incident = session.scenario.timeline.incident();
        let milestones = conclusion.evaluation.milestones.iter().filter(|milestone| !milestone.skipped);
        let minutes = |at: Option<Moment>| at.map_or(f64::INFINITY, |at| minutes_after(incident, at));
        Outcome {
            milestones: milestones.map(|milestone| (milestone.id.clone(), minutes(milestone.at))).collect(),
            customers: customers(results),
            region: region(results),
            systems: results
                .systems()
                .map(|mut system| {
                    let rules = &conclusion.evaluation.windows;
                    if let Some(own) = rules.iter().find(|own| *own.system == *system.name) {
                        let window = |period: &Period| Window { from: period.from, to: period.to };
                        system.windows = own.windows.iter().map(window).collect();
                    }
                    (system.name.to_string(), system_metrics(&system, results, session.until, incident))
                })
                .collect(),
            edges: edges(results),
        }
    }

    /// All numbers by a dotted name, in one order: a row of `runs.csv`.
    pub(super) fn row(&self) -> impl Iterator<Item = (String, f64)> + '_ {
        let milestones = self.milestones.iter().map(|(id, at)| (format!("milestone.{id}"), *at));
        let named = |of: &str, metrics: &Metrics| -> Vec<(String, f64)> {
            metrics.iter().map(|(name, value)| (format!("{of}.{name}"), *value)).collect()
        };
        let parts = [("customers", &self.customers), ("region", &self.region)];
        let systems = self.systems.iter().map(|(name, metrics)| (format!("system.{name}"), metrics));
        let edges = self.edges.iter().map(|(name, metrics)| (name.clone(), metrics));
        let parts = parts.into_iter().map(|(name, metrics)| (name.to_owned(), metrics));
        milestones.chain(parts.chain(systems).chain(edges).flat_map(move |(of, metrics)| named(&of, metrics)))
    }
}

fn minutes_after(incident: Moment, at: Moment) -> f64 {
    (at.as_nanos() as f64 - incident.as_nanos() as f64) / Span::from_mins(1).as_nanos() as f64
}

fn percentiles(latencies: &Latencies) -> Metrics {
    let shares = [("p50_ms", 0.5), ("p99_ms", 0.99), ("p999_ms", 0.999)];
    let there = shares.into_iter().filter(|_| latencies.count() > 0);
    there.map(|(name, share)| (name, latencies.quantile(share).as_millis_f64())).collect()
}

fn customers(results: &Results) -> Metrics {
    let services = &results.layout().services;
    let is_customers = |caller| services.get(caller).is_some_and(|role| role.customers);
    let (mut latencies, mut requests, mut failed) = (Latencies::default(), 0, 0);
    for edge in results.edges().filter(|edge| is_customers(&edge.caller)) {
        latencies.merge(&edge.histograms.requests());
        requests += edge.tally.requests.total();
        failed += edge.tally.requests.unanswered();
    }
    let counts = [("requests", requests as f64), ("failed", failed as f64)];
    counts.into_iter().chain(percentiles(&latencies)).collect()
}

fn region(results: &Results) -> Metrics {
    let peak = results.edges().map(|edge| results.peak_amplification(edge)).fold(0.0, f64::max);
    let wasted: u64 = results.edges().map(|edge| edge.waste.requests).sum();
    let wasted_s: f64 = results.edges().map(|edge| edge.waste.worker.as_secs_f64()).sum();
    [
        ("rpcs", results.rpcs() as f64),
        ("peak_amplification", peak),
        ("wasted", wasted as f64),
        ("wasted_s", wasted_s),
    ]
    .into_iter()
    .collect()
}

fn system_metrics(system: &SystemTotals, results: &Results, until: Moment, incident: Moment) -> Metrics {
    // A window that was open at the end, or has not stayed closed for long enough, may go on.
    let quiet = results.layout().window_quiet;
    let recovery = match system.windows.last() {
        None => 0.0,
        Some(last) if until.since(last.to) < quiet => f64::INFINITY,
        Some(last) => minutes_after(incident, last.to),
    };
    let counts = [
        ("recovery_min", recovery),
        ("impact_min", system.impact().as_secs_f64() / 60.0),
        ("requests", system.tally.requests.total() as f64),
        ("failed", system.tally.requests.unanswered() as f64),
        ("goodput_per_s", system.goodput),
        ("peak_amplification", system.peak_amplification),
        ("wasted", system.waste.requests as f64),
        ("wasted_s", system.waste.worker.as_secs_f64()),
    ];
    counts.into_iter().chain(percentiles(&system.latencies)).collect()
}

fn edges(results: &Results) -> IndexMap<String, Metrics> {
    let seconds = results.length().as_secs_f64().max(1e-9);
    let metrics = |edge: &eastfall_fabric::record::EdgeTotals| -> Metrics {
        [
            ("requests", edge.tally.requests.total() as f64),
            ("failed", edge.tally.requests.unanswered() as f64),
            ("goodput_per_s", edge.tally.requests.of(Ending::Ok) as f64 / seconds),
            ("amplification", edge.amplification()),
            ("peak_amplification", results.peak_amplification(edge)),
            ("wasted", edge.waste.requests as f64),
            ("wasted_s", edge.waste.worker.as_secs_f64()),
        ]
        .into_iter()
        .collect()
    };
    results.edges().map(|edge| (edge.name(), metrics(edge))).collect()
}

impl Merged {
    /// Nothing yet, of runs of this session with any seed.
    pub(super) fn new(session: &Session) -> Merged {
        let layout = Layout::of(&session.topology);
        let is_customers = |caller| layout.services.get(caller).is_some_and(|role| role.customers);
        let customers = layout.edges().filter(|(caller, _)| is_customers(*caller));
        Merged {
            outcomes: BTreeMap::new(),
            edges: IndexMap::new(),
            waiting: BTreeMap::new(),
            next_seed: session.seed,
            customers: customers.map(|(caller, callee)| (caller.clone(), callee.clone())).collect(),
            systems: layout.systems().into_iter().map(|(name, edges)| (name.to_string(), edges)).collect(),
        }
    }

    /// Adds a run.
    pub(super) fn add(&mut self, seed: u64, outcome: Outcome, results: &Results) {
        self.outcomes.insert(seed, outcome);
        let latencies = results
            .edges()
            .filter(|edge| !edge.histograms.is_empty())
            .map(|edge| ((edge.caller.clone(), edge.callee.clone()), edge.histograms.clone()));
        self.waiting.insert(seed, latencies.collect());
        while let Some(next) = self.waiting.remove(&self.next_seed) {
            self.merge(next);
            self.next_seed = self.next_seed.wrapping_add(1);
        }
    }

    /// No more runs will come: those of earlier seeds were not made.
    pub(super) fn close(&mut self) {
        for latencies in std::mem::take(&mut self.waiting).into_values() {
            self.merge(latencies);
        }
    }

    fn merge(&mut self, latencies: IndexMap<EdgeKey, Histograms>) {
        for (edge, histograms) in latencies {
            self.edges.entry(edge).or_default().merge(&histograms);
        }
    }

    /// What customers waited, over all seeds.
    pub(super) fn customers(&self) -> Latencies {
        self.together(&self.customers).requests()
    }

    /// The latencies of all systems' customers, over all seeds.
    pub(super) fn systems(&self) -> impl Iterator<Item = (&String, Histograms)> {
        self.systems.iter().map(|(name, edges)| (name, self.together(edges)))
    }

    fn together(&self, edges: &[EdgeKey]) -> Histograms {
        let mut all = Histograms::default();
        edges.iter().filter_map(|edge| self.edges.get(edge)).for_each(|histograms| all.merge(histograms));
        all
    }
}
