//! The policy of an edge, from three layers: `[defaults.calls]`, then the edge's preset, then the edge's own keys.

use super::names::check_name;
use super::retry::{budget, retry};
use super::{COUNT, POSITIVE, SHARE, SOME_SPAN};
use crate::read::value::{Fault, Readable};
use crate::read::{Fields, Reading};
use crate::tree::{self, Node, Table, Value};
use crate::words;
use crate::{
    Breaker, ClientThrottle, Concurrency, Connections, Hedge, Policy, RateLimit, SlowCall, Source, Span, Trip,
};
use indexmap::IndexMap;

words! {
    enum TripWord {
        ConsecutiveFailures = "consecutive-failures",
        FailureRateCount = "failure-rate-count",
        FailureRateTime = "failure-rate-time",
    }
}

words! {
    enum ConcurrencyKind {
        Fixed = "fixed",
        Adaptive = "adaptive",
    }
}

/// The presets by name: the built-in ones, then the file's.
pub(super) type Presets = IndexMap<String, Table>;

/// What `[defaults]` says, presets already laid under it.
pub(super) struct Defaults {
    calls: Table,
    resolver: Table,
}

/// The text of the built-in presets.
const BUILT_IN: Source<'_> = Source { file: "built-in presets.toml", text: include_str!("../presets.toml") };

/// Reads and checks the presets, each alone.
pub(super) fn presets(top: &mut Fields<'_, '_>) -> Presets {
    let mut presets = Presets::new();
    let built_in = tree::parse(BUILT_IN).unwrap_or_default();
    for (name, node) in built_in {
        if let Value::Table(table) = node.value {
            presets.insert(name, table);
        }
    }
    let reading = top.reading();
    for (name, node) in top.entries("preset") {
        let path = format!("preset.{name}");
        if let Err(fault) = check_name(name) {
            reading.fault(&node.origin, &path, fault);
        }
        let mut fields = Fields::of_node(reading, &path, node);
        policy(&mut fields);
        fields.finish();
        if presets.contains_key(name) {
            let fault = Fault::new(format!("`{name}` is the name of a built-in preset"), "take another name");
            reading.fault(&node.origin, &path, fault);
        } else if let Some(table) = node.table() {
            presets.insert(name.clone(), table.clone());
        }
    }
    presets
}

/// Reads and checks `[defaults]`.
pub(super) fn defaults(top: &mut Fields<'_, '_>, presets: &Presets) -> Defaults {
    let mut fields = top.table("defaults");
    let reading = top.reading();
    let (calls_node, resolver_node) = (fields.node("calls"), fields.node("resolver"));
    let mut calls = Table::new();
    if let Some(node) = calls_node {
        // Says so if it isn't a table; otherwise the merged one is read in its place.
        Fields::of_node(reading, "defaults.calls", node);
        lay(reading, "defaults.calls", &mut calls, &node.table().cloned().unwrap_or_default(), presets);
        let mut merged = Fields::new(reading, "defaults.calls", &node.origin, &calls);
        merged.node("preset");
        policy(&mut merged);
        merged.finish();
    }
    if resolver_node.is_some() {
        super::services::resolver(fields.table("resolver"));
    }
    let resolver = resolver_node.and_then(Node::table).cloned().unwrap_or_default();
    fields.finish();
    Defaults { calls, resolver }
}

impl Defaults {
    /// An edge's keys over its preset over the defaults.
    pub(super) fn under_edge(&self, reading: &Reading, path: &str, own: &Table, presets: &Presets) -> Table {
        let mut merged = self.calls.clone();
        lay(reading, path, &mut merged, own, presets);
        merged
    }

    /// A service's resolver over the defaults.
    pub(super) fn under_resolver(&self, own: Option<&Table>) -> Table {
        let mut merged = self.resolver.clone();
        if let Some(own) = own {
            tree::merge(&mut merged, own);
        }
        merged
    }
}

/// Lays a table over `below`, with the preset it names in between.
fn lay(reading: &Reading, path: &str, below: &mut Table, own: &Table, presets: &Presets) {
    if let Some(node) = own.get("preset").filter(|node| !crate::read::value::is_off(node)) {
        let preset = String::read(node).and_then(|name| {
            presets
                .get(&name)
                .ok_or_else(|| Fault::unknown("preset", &name, presets.keys().map(String::as_str)))
        });
        match preset {
            Ok(preset) => tree::merge(below, preset),
            Err(fault) => reading.fault(&node.origin, &format!("{path}.preset"), fault),
        }
    }
    tree::merge(below, own);
}

/// All keys of a policy except `preset`; the caller may read more, and finishes.
pub(super) fn policy(fields: &mut Fields<'_, '_>) -> Policy {
    let policy = Policy {
        preset: None,
        timeout: fields.optional("timeout", SOME_SPAN),
        deadline: fields.optional("deadline", SOME_SPAN),
        propagate_deadline: fields.value("propagate-deadline", false),
        retry: fields.section("retry").map(retry),
        budget: fields.section("budget").and_then(budget),
        breaker: fields.section("breaker").and_then(breaker),
        concurrency: fields.section("concurrency").and_then(concurrency),
        rate: fields.section("rate").map(rate),
        throttle: fields.section("throttle").map(throttle),
        hedge: fields.section("hedge").map(hedge),
        connections: connections(fields.table("connections")),
    };
    if let (Some(timeout), Some(deadline)) = (policy.timeout, policy.deadline) {
        let message = format!("{timeout} is above deadline {deadline}");
        fields.require(timeout <= deadline, "timeout", message, "lower timeout or raise deadline");
    }
    policy
}

fn breaker(mut fields: Fields<'_, '_>) -> Option<Breaker> {
    let rate = 1e-6..=1.0;
    let trip = match fields.tag("trip", Some(TripWord::ConsecutiveFailures))? {
        TripWord::ConsecutiveFailures => {
            Trip::ConsecutiveFailures { failures: fields.within("failures", 5, COUNT) }
        }
        TripWord::FailureRateCount => {
            // The window is kept call by call, so it has an upper end.
            let calls = fields.within("calls", 100, 1..=1_000_000);
            let minimum = fields.within("minimum", calls.min(100), COUNT);
            let message = format!("{minimum} is above calls {calls}, so the breaker could never open");
            fields.require(minimum <= calls, "minimum", message, "lower minimum or raise calls");
            Trip::FailureRateCount { calls, minimum, rate: fields.within("rate", 0.5, rate.clone()) }
        }
        TripWord::FailureRateTime => Trip::FailureRateTime {
            window: fields.within("window", Span::from_secs(10), SOME_SPAN),
            minimum: fields.within("minimum", 20, COUNT),
            rate: fields.within("rate", 0.5, rate.clone()),
        },
    };
    let slow_call = fields.section("slow-call").map(|mut fields| {
        let duration = fields.required("duration", Span::from_secs(1), SOME_SPAN);
        let slow_call = SlowCall { duration, rate: fields.within("rate", 1.0, rate) };
        fields.finish();
        slow_call
    });
    let open_for = fields.within("open-for", Span::from_secs(30), SOME_SPAN);
    let half_open_calls = fields.within("half-open-calls", 1, COUNT);
    fields.finish();
    Some(Breaker { trip, slow_call, open_for, half_open_calls })
}

fn concurrency(mut fields: Fields<'_, '_>) -> Option<Concurrency> {
    let concurrency = match fields.tag("kind", None)? {
        ConcurrencyKind::Fixed => Concurrency::Fixed {
            limit: fields.required("limit", 1, COUNT),
            queue: fields.value("queue", false),
        },
        ConcurrencyKind::Adaptive => {
            let min = fields.within("min", 3, COUNT);
            let max = fields.within("max", min.max(1000), COUNT);
            fields.require(min <= max, "max", format!("{max} is below min {min}"), "raise max or lower min");
            Concurrency::Adaptive {
                min,
                max,
                update_interval: fields.within("update-interval", Span::from_millis(100), SOME_SPAN),
                minimum_interval: fields.within("minimum-interval", Span::from_mins(1), SOME_SPAN),
                minimum_samples: fields.within("minimum-samples", 50, COUNT),
                buffer: fields.within("buffer", 0.25, 0.0..=10.0),
                percentile: fields.within("percentile", 0.5, SHARE),
            }
        }
    };
    fields.finish();
    Some(concurrency)
}

fn rate(mut fields: Fields<'_, '_>) -> RateLimit {
    let rate = RateLimit {
        per_second: fields.required("per-second", 1.0, POSITIVE),
        burst: fields.within("burst", 1, COUNT),
    };
    fields.finish();
    rate
}

fn throttle(mut fields: Fields<'_, '_>) -> ClientThrottle {
    let throttle = ClientThrottle {
        k: fields.within("k", 2.0, 1.0..=1000.0),
        window: fields.within("window", Span::from_mins(2), SOME_SPAN),
    };
    fields.finish();
    throttle
}

fn hedge(mut fields: Fields<'_, '_>) -> Hedge {
    let after = fields.required("after", Span::from_secs(1), SOME_SPAN);
    let hedge = Hedge { after, at_most: fields.within("at-most", 1, 1..=10) };
    fields.finish();
    hedge
}

fn connections(mut fields: Fields<'_, '_>) -> Connections {
    let default = Connections::default();
    let connections = Connections {
        per_peer: fields.within("per-peer", default.per_peer, 1..=10_000),
        connect_timeout: fields.within("connect-timeout", default.connect_timeout, SOME_SPAN),
        idle_timeout: fields.optional("idle-timeout", SOME_SPAN),
        max_age: fields.optional("max-age", SOME_SPAN),
        max_age_jitter: fields.within("max-age-jitter", default.max_age_jitter, SHARE),
        reuse: fields.value("reuse", default.reuse),
    };
    fields.finish();
    connections
}
