//! What the results need to know of a topology: who belongs to which system, and whose requests count for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use eastfall_topology::Topology;
use eastfall_topology::time::Span;
use indexmap::IndexMap;

/// Kinds that are called so, or end so (`ec2-customers`), are customers: their requests say how a system does.
const CUSTOMERS: &str = "customers";

/// An edge: the calling and the called service.
pub type EdgeKey = (Arc<str>, Arc<str>);

/// The part of a topology that the results are laid out by.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// How often series are sampled.
    pub sample: Span,
    /// The length of one latency histogram; what the run's recorders were made with.
    pub histograms: Span,
    /// The share of a minute's requests that must go unanswered for an impact window to open, 0..=1.
    pub window_share: f64,
    /// How long the share must stay below for the window to close.
    pub window_quiet: Span,
    /// The services by name.
    pub services: IndexMap<Arc<str>, Role>,
}

/// One service's place in the results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// The system it counts under.
    pub system: Arc<str>,
    /// True if its requests are those of customers.
    pub customers: bool,
    /// The services it calls.
    pub calls: Vec<Arc<str>>,
}

impl Layout {
    /// The layout for a topology.
    pub fn of(topology: &Topology) -> Self {
        let record = &topology.record;
        let role = |service: &eastfall_topology::Service| Role {
            system: service.system.as_str().into(),
            customers: service.kind.rsplit('-').next() == Some(CUSTOMERS),
            calls: service.calls.keys().map(|callee| callee.as_str().into()).collect(),
        };
        Layout {
            sample: record.sample,
            histograms: record.histograms,
            window_share: record.window_share,
            window_quiet: record.window_quiet,
            services: topology.services.values().map(|s| (s.name.as_str().into(), role(s))).collect(),
        }
    }

    /// Every edge, caller first, in the order of the topology.
    pub fn edges(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.services.iter().flat_map(|(caller, role)| role.calls.iter().map(move |callee| (caller, callee)))
    }

    /// The edges whose requests are those of a system's customers, by system: calls from services of the kind
    /// `customers` if the system has any, else all calls from outside the system.
    pub fn systems(&self) -> IndexMap<Arc<str>, Vec<EdgeKey>> {
        let from_outside = || {
            self.edges().filter_map(|(caller, callee)| {
                let (from, to) = (self.services.get(caller)?, self.services.get(callee)?);
                (from.system != to.system).then_some((caller, callee, from.customers, &to.system))
            })
        };
        let with_customers: BTreeSet<&Arc<str>> =
            from_outside().filter(|(_, _, customers, _)| *customers).map(|(.., system)| system).collect();
        let mut counted: BTreeMap<&Arc<str>, Vec<EdgeKey>> = BTreeMap::new();
        for (caller, callee, customers, system) in from_outside() {
            if customers || !with_customers.contains(system) {
                counted.entry(system).or_default().push((Arc::clone(caller), Arc::clone(callee)));
            }
        }
        // In the order in which the topology first names the systems.
        let systems: IndexMap<_, ()> = self.services.values().map(|role| (&role.system, ())).collect();
        systems.keys().filter_map(|system| Some((Arc::clone(system), counted.remove(*system)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn customers_count_alone_where_there_are_any() {
        let role = |system: &str, customers, calls: &[&str]| Role {
            system: system.into(),
            customers,
            calls: calls.iter().map(|&callee| callee.into()).collect(),
        };
        let services = [
            ("customers-web", role("customers-web", true, &["dynamodb"])),
            ("dwfm", role("ec2", false, &["dynamodb", "network-manager"])),
            ("network-manager", role("ec2", false, &["route53"])),
            ("dynamodb", role("dynamodb", false, &["dynamodb-storage"])),
            ("dynamodb-storage", role("dynamodb", false, &[])),
            ("route53", role("route53", false, &[])),
        ];
        let layout = Layout {
            sample: Span::from_secs(10),
            histograms: Span::from_mins(1),
            window_share: 0.05,
            window_quiet: Span::from_mins(5),
            services: services.into_iter().map(|(name, role)| (name.into(), role)).collect(),
        };
        let systems: Vec<String> = layout
            .systems()
            .iter()
            .flat_map(|(system, edges)| edges.iter().map(move |(from, to)| format!("{system}: {from}->{to}")))
            .collect();
        assert_eq!(
            systems,
            ["dynamodb: customers-web->dynamodb", "route53: network-manager->route53"],
            "inside calls never count, ec2 has no callers"
        );
    }
}
