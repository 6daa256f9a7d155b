//! The graph for people: layers of text for a terminal, DOT for Graphviz (`eastfall topology graph`).

use super::{Service, Topology};
use crate::policy::{Budget, Edge, Policy, Trip};
use std::collections::BTreeMap;

impl Topology {
    /// The services in layers, those that nobody calls first; under each its calls with what protects them.
    pub fn graph_text(&self) -> String {
        let instances: usize = self.services.values().map(|service| service.instances.len()).sum();
        let edges: usize = self.services.values().map(|service| service.calls.len()).sum();
        let (name, services) = (&self.region.name, self.services.len());
        let mut text = format!("{name}: {services} services, {instances} instances, {edges} edges\n");
        for (number, layer) in self.layers().iter().enumerate() {
            text.push_str(&format!("\nlayer {}\n", number + 1));
            for service in layer {
                text.push_str(&format!("  {}\n", headline(service)));
                for edge in service.calls.values() {
                    let line = format!("    -> {}  {}", edge.callee, edge_words(edge).join(", "));
                    text.push_str(line.trim_end());
                    text.push('\n');
                }
            }
        }
        text
    }

    /// The graph as Graphviz DOT; `dot -Tsvg` draws it.
    pub fn graph_dot(&self) -> String {
        let mut text =
            format!("digraph \"{}\" {{\n  rankdir=LR;\n  node [shape=box];\n", quoted(&self.region.name));
        for service in self.services.values() {
            let label = quoted(&format!("{}\n{} x {}", service.title, service.instances.len(), service.kind));
            text.push_str(&format!("  \"{}\" [label=\"{label}\"];\n", service.name));
        }
        for edge in self.services.values().flat_map(|service| service.calls.values()) {
            let label = quoted(&edge_words(edge).join("\n"));
            text.push_str(&format!("  \"{}\" -> \"{}\" [label=\"{label}\"];\n", edge.caller, edge.callee));
        }
        text.push_str("}\n");
        text
    }

    /// Services by their distance from those that nobody calls. Systems may call each other in a circle (operations may
    /// not); a circle that nobody outside calls starts at the first of it in the file's order.
    fn layers(&self) -> Vec<Vec<&Service>> {
        let called = |name: &str| self.services.values().any(|service| service.calls.contains_key(name));
        let tops: Vec<&str> = self.services.keys().map(String::as_str).filter(|name| !called(name)).collect();
        let mut depths: BTreeMap<&str, usize> = BTreeMap::new();
        self.descend(tops, &mut depths);
        for name in self.services.keys().filter(|name| called(name)) {
            if !depths.contains_key(name.as_str()) {
                self.descend(vec![name], &mut depths);
            }
        }
        let mut layers = vec![Vec::new(); depths.values().max().map_or(0, |deepest| deepest + 1)];
        for service in self.services.values() {
            layers[depths[service.name.as_str()]].push(service);
        }
        layers
    }

    /// Gives every service that is reached from a layer, and has no depth yet, its depth.
    fn descend<'t>(&'t self, mut layer: Vec<&'t str>, depths: &mut BTreeMap<&'t str, usize>) {
        for depth in 0.. {
            layer.retain(|name| !depths.contains_key(name));
            if layer.is_empty() {
                return;
            }
            depths.extend(layer.iter().map(|name| (*name, depth)));
            let services = layer.iter().filter_map(|name| self.services.get(*name));
            layer = services.flat_map(|service| service.calls.keys()).map(String::as_str).collect();
        }
    }
}

/// `web (service), 3 instances, 8 workers, mean 2ms`.
fn headline(service: &Service) -> String {
    let mut words = vec![format!("{} ({})", service.name, service.kind)];
    if service.instances.len() > 1 {
        words.push(format!("{} instances", service.instances.len()));
    }
    if let Some(capacity) = &service.capacity {
        words.push(format!("{} workers", capacity.workers));
        words.push(format!("mean {}", capacity.service_time.mean()));
    }
    words.join(", ")
}

/// What an edge does beside calling, in few words.
fn edge_words(edge: &Edge) -> Vec<String> {
    let target = match (&edge.endpoint, edge.static_addresses) {
        (Some(_), true) => Some("static addresses".to_owned()),
        (endpoint, _) => endpoint.clone(),
    };
    target.into_iter().chain(policy_words(&edge.policy)).collect()
}

fn policy_words(policy: &Policy) -> impl Iterator<Item = String> {
    let words = [
        policy.timeout.map(|timeout| format!("timeout {timeout}")),
        policy.deadline.map(|deadline| format!("deadline {deadline}")),
        policy.retry.as_ref().map(|retry| format!("{} attempts ({})", retry.attempts, retry.backoff)),
        policy.budget.map(|budget| match budget {
            Budget::TokenBucket { capacity, .. } => format!("budget of {capacity} tokens"),
            Budget::Grpc { max_tokens, .. } => format!("grpc budget of {max_tokens} tokens"),
            Budget::Ratio { ratio, .. } => format!("budget of {ratio} a request"),
        }),
        policy.breaker.map(|breaker| match breaker.trip {
            Trip::ConsecutiveFailures { failures } => format!("breaker at {failures} failures in a row"),
            Trip::FailureRateCount { rate, calls, .. } => format!("breaker at {rate} of {calls} calls"),
            Trip::FailureRateTime { rate, window, .. } => format!("breaker at {rate} in {window}"),
        }),
        policy.concurrency.map(|_| "concurrency limit".to_owned()),
        policy.rate.map(|rate| format!("at most {}/s", rate.per_second)),
        policy.throttle.map(|throttle| format!("throttle k = {}", throttle.k)),
        policy.hedge.map(|hedge| format!("hedge after {}", hedge.after)),
    ];
    words.into_iter().flatten()
}

/// A text inside DOT's quotes.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
