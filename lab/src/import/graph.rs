//! A service graph as isotope has it: defaults, services, scripts.

use std::fmt::Display;

use eastfall_topology::nearest;

use super::script::{Command, script};
use super::values::{share, size};
use super::yaml::{self, Node, Value};

/// A graph that isotope would run, and what of it a topology can't say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Graph {
    pub(super) services: Vec<Service>,
    /// With file and line.
    pub(super) notes: Vec<String>,
}

/// One mock service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) replicas: u32,
    pub(super) entrypoint: bool,
    /// The share of requests that it fails, 0..=1.
    pub(super) error_share: f64,
    pub(super) script: Vec<Command>,
}

/// What services and calls have unless they say otherwise.
#[derive(Clone, Debug)]
struct Defaults {
    replicas: u32,
    error_share: f64,
    request_size: u64,
    script: Vec<Command>,
}

/// Reads a file, and collects what is wrong and what is left out on the way.
pub(super) struct Reader<'a> {
    file: &'a str,
    pub(super) problems: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// Reads a graph.
///
/// # Errors
/// Everything that is wrong with it, a line each.
pub(super) fn read(file: &str, text: &str) -> Result<Graph, Vec<String>> {
    let mut reader = Reader { file, problems: Vec::new(), notes: Vec::new() };
    let root = match yaml::parse(text) {
        Ok(root) => root,
        Err((line, what)) => return Err(vec![format!("{file}:{line}: {what}; correct the syntax")]),
    };
    let services = reader.graph(&root);
    if reader.problems.is_empty() {
        Ok(Graph { services, notes: reader.notes })
    } else {
        Err(reader.problems)
    }
}

impl Reader<'_> {
    pub(super) fn problem(&mut self, line: usize, key: &str, what: impl Display) {
        self.problems.push(format!("{}:{line}: {key}: {what}", self.file));
    }

    pub(super) fn note(&mut self, line: usize, key: &str, what: impl Display) {
        self.notes.push(format!("{}:{line}: {key}: {what}", self.file));
    }

    /// The entries of a table; anything else is a problem and has none.
    pub(super) fn table<'n>(&mut self, key: &str, node: &'n Node) -> &'n [(String, Node)] {
        match &node.value {
            Value::Table(entries) => entries,
            Value::Text(text) if text.is_empty() => &[],
            _ => {
                self.problem(node.line, key, "is no table; write KEY: VALUE lines");
                &[]
            }
        }
    }

    /// The elements of a list.
    pub(super) fn list<'n>(&mut self, key: &str, node: &'n Node) -> &'n [Node] {
        match &node.value {
            Value::List(list) => list,
            Value::Text(text) if text.is_empty() => &[],
            _ => {
                self.problem(node.line, key, "is no list; write lines that begin with a hyphen");
                &[]
            }
        }
    }

    /// A scalar as `read` understands it.
    pub(super) fn value<T>(
        &mut self,
        key: &str,
        node: &Node,
        otherwise: T,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        let read = match &node.value {
            Value::Text(text) => read(text),
            _ => Err("is no single value".to_owned()),
        };
        read.unwrap_or_else(|what| {
            self.problem(node.line, key, what);
            otherwise
        })
    }

    fn graph(&mut self, root: &Node) -> Vec<Service> {
        let entries = self.table("the graph", root);
        let find = |key: &str| entries.iter().find(|(name, _)| name == key).map(|(_, node)| node);
        // Before the services that they hold for, wherever they stand.
        let defaults = self.defaults(find("defaults"));
        let mut services = Vec::new();
        for (key, node) in entries {
            match key.as_str() {
                "defaults" | "apiVersion" => {}
                "services" => {
                    let list = self.list(key, node);
                    services = list.iter().filter_map(|node| self.service(node, &defaults)).collect();
                }
                "kind" => self.value(key, node, (), |text| match text {
                    "MockServiceGraph" => Ok(()),
                    other => {
                        Err(format!("`{other}` is not `MockServiceGraph`; name a service graph of isotope's"))
                    }
                }),
                "default" => {
                    self.note(node.line, key, "is not read, nor does isotope read it; write `defaults`")
                }
                other => self.note(node.line, other, "has no counterpart"),
            }
        }
        if find("services").is_none() {
            self.problem(root.line, "services", "is missing; this is no service graph of isotope's");
        }
        self.check(&services);
        services
    }

    fn defaults(&mut self, node: Option<&Node>) -> Defaults {
        let mut defaults = Defaults { replicas: 1, error_share: 0.0, request_size: 0, script: Vec::new() };
        let entries = node.map(|node| self.table("defaults", node)).unwrap_or_default();
        // The size first: it holds for the calls of a default script.
        for (key, node) in entries.iter().filter(|(key, _)| key == "requestSize") {
            defaults.request_size = self.value(&format!("defaults.{key}"), node, 0, size);
        }
        for (key, node) in entries {
            let path = format!("defaults.{key}");
            match key.as_str() {
                "requestSize" => {}
                "numReplicas" => defaults.replicas = self.value(&path, node, 1, replicas),
                "errorRate" => defaults.error_share = self.value(&path, node, 0.0, share),
                "script" => defaults.script = script(self, &path, node, defaults.request_size),
                _ => self.left_out(&path, key, node),
            }
        }
        defaults
    }

    fn service(&mut self, node: &Node, defaults: &Defaults) -> Option<Service> {
        let entries = self.table("services", node);
        let named = entries.iter().find(|(key, _)| key == "name");
        let Some((_, name)) = named else {
            self.problem(node.line, "services", "a service has no name; add name: NAME");
            return None;
        };
        let name = self.value("services.name", name, String::new(), service_name);
        let mut service = Service {
            replicas: defaults.replicas,
            entrypoint: false,
            error_share: defaults.error_share,
            script: defaults.script.clone(),
            name,
        };
        for (key, node) in entries {
            let path = format!("services.{}.{key}", service.name);
            match key.as_str() {
                "name" => {}
                "numReplicas" => service.replicas = self.value(&path, node, 1, replicas),
                "isEntrypoint" => service.entrypoint = self.value(&path, node, false, truth),
                "errorRate" => service.error_share = self.value(&path, node, 0.0, share),
                "script" => service.script = script(self, &path, node, defaults.request_size),
                _ => self.left_out(&path, key, node),
            }
        }
        Some(service)
    }

    /// What a topology does not say, and why that may not matter.
    fn left_out(&mut self, path: &str, key: &str, node: &Node) {
        let why = match key {
            "type" => {
                let kind = self.value(path, node, String::new(), |text| Ok(text.to_owned()));
                if kind == "grpc" {
                    return;
                }
                "all services speak gRPC here"
            }
            "responseSize" => "answers have no size here",
            "namespace" | "cluster" => "there is one region and no name spaces",
            "labels" => "there are no labels",
            "numRbacPolicies" => "there are no access policies",
            _ => "has no counterpart",
        };
        self.note(node.line, path, why);
    }

    /// What only shows once all services are known.
    fn check(&mut self, services: &[Service]) {
        let names = || services.iter().map(|service| service.name.as_str());
        for (number, name) in names().enumerate() {
            if names().take(number).any(|before| before == name) {
                self.problems
                    .push(format!("{}: services.{name}: is there twice; name each service once", self.file));
            }
        }
        for service in services {
            for call in service.script.iter().flat_map(Command::calls) {
                if !names().any(|name| name == call.service) {
                    let near = nearest(&call.service, names());
                    let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
                    let what =
                        format!("there is no service `{}`; {near}add it to the services", call.service);
                    self.problem(call.line, &format!("services.{}.script", service.name), what);
                }
            }
        }
    }
}

fn replicas(text: &str) -> Result<u32, String> {
    let count = text.trim().parse().ok().filter(|count| (1..=100_000).contains(count));
    count.ok_or_else(|| format!("`{text}` is no number of replicas; write 1 to 100000"))
}

fn truth(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("`{text}` is neither true nor false"))
}

/// Isotope's services are named as Kubernetes names them, which is how topologies do.
fn service_name(text: &str) -> Result<String, String> {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    let fine = text.len() <= 63
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(plain)
        && !text.ends_with('-');
    let error = || {
        format!("`{text}` is no name; use at most 63 lower-case letters, digits and hyphens, a letter first")
    };
    fine.then(|| text.to_owned()).ok_or_else(error)
}
