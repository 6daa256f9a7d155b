//! The policies in force over time: as the run began, and after each setting that was changed.

use std::collections::BTreeMap;

use eastfall_fabric::record::Event;
use eastfall_topology::{Setting, Topology};
use serde::Serialize;

/// A value by its path below an edge or a service, as a file writes it: `retry.attempts` is `4`.
type Values = BTreeMap<String, String>;

/// What changed at one moment; the first has everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Version {
    /// Seconds since the start of the run.
    at: f64,
    /// The setting that did it; empty for the first.
    setting: String,
    /// By edge, `caller->callee`: all its values, if one of them changed.
    edges: BTreeMap<String, Values>,
    /// By service, its edges' values not included: the same.
    services: BTreeMap<String, Values>,
}

/// All versions, and the topology as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Policies {
    topology: Topology,
    versions: Vec<Version>,
}

impl Policies {
    /// The policies that a run begins with.
    pub(crate) fn new(topology: &Topology) -> Policies {
        let versions = vec![version(topology)];
        Policies { topology: topology.clone(), versions }
    }

    /// Takes up a changed setting; other events change nothing.
    pub(crate) fn note(&mut self, event: &Event) {
        let ("setting.changed", Some(path), Some(value)) =
            (event.kind.as_str(), event.fields.get("path"), event.fields.get("value"))
        else {
            return;
        };
        let setting = Setting { path: path.clone(), value: value.clone() };
        // It was checked before it came into force; of another version's run it may not hold any more.
        let Ok(changed) = self.topology.with(&setting) else { return };
        let (before, after) = (version(&self.topology), version(&changed));
        let new = |before: &BTreeMap<String, Values>, after: BTreeMap<String, Values>| {
            after.into_iter().filter(|(name, values)| before.get(name) != Some(values)).collect()
        };
        self.versions.push(Version {
            at: event.at.since_start().as_secs_f64(),
            setting: setting.to_string(),
            edges: new(&before.edges, after.edges),
            services: new(&before.services, after.services),
        });
        self.topology = changed;
    }

    /// All versions, the oldest first.
    pub(crate) fn versions(&self) -> &[Version] {
        &self.versions
    }
}

impl Serialize for Policies {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.versions.serialize(serializer)
    }
}

fn version(topology: &Topology) -> Version {
    let mut version = Version::default();
    for (path, value) in topology.values() {
        let Some((service, key)) = path.strip_prefix("service.").and_then(|rest| rest.split_once('.')) else {
            continue;
        };
        let edge = key.strip_prefix("calls.").and_then(|rest| rest.split_once('.'));
        let (values, key) = match edge {
            Some((callee, key)) => (version.edges.entry(format!("{service}->{callee}")).or_default(), key),
            None => (version.services.entry(service.to_owned()).or_default(), key),
        };
        values.insert(key.to_owned(), value.to_owned());
    }
    version
}

#[cfg(test)]
mod tests {
    use super::*;
    use eastfall_topology::Source;
    use eastfall_topology::time::{Moment, Span};

    const FILE: &str = r#"
        [region]
        name = "here"
        [service.store]
        kind = "service"
        workers = 4
        service-time = "5ms"
        operations.get = {}
        [service.web]
        kind = "service"
        operations.read = { calls = [{ service = "store", operation = "get" }] }
        calls.store = { timeout = "1s" }
    "#;

    fn changed(path: &str, value: &str) -> Event {
        let fields = [("id", "set-1"), ("path", path), ("value", value)];
        Event {
            at: Moment::START + Span::from_secs(90),
            system: "lab".into(),
            service: "lab".into(),
            instance: "controller".into(),
            kind: "setting.changed".to_owned(),
            fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect(),
        }
    }

    #[test]
    fn a_version_says_what_changed_and_no_more() {
        let schemas = crate::session::schemas();
        let topology = Topology::load(Source { file: "here.toml", text: FILE }, &[], &schemas, 1.0).unwrap();
        let mut policies = Policies::new(&topology);
        policies.note(&changed("service.web.calls.store.retry.attempts", "4"));
        policies.note(&changed("service.store.workers", "8"));
        policies.note(&changed("service.web.nothing", "1"));
        let [first, retries, workers] = policies.versions() else {
            panic!("what can't be set is no version: {:?}", policies.versions());
        };
        assert_eq!(first.edges["web->store"]["retry"], "none");
        assert_eq!(first.services["store"]["workers"], "4");
        assert_eq!(retries.at, 90.0);
        assert_eq!(retries.edges["web->store"]["retry.attempts"], "4");
        assert!(retries.services.is_empty(), "{retries:?}");
        assert_eq!(workers.services["store"]["workers"], "8");
        assert!(workers.edges.is_empty(), "{workers:?}");
    }
}
