//! Takes a part of a topology: some services, and whatever they call.
//!
//! To study one mechanism of a large region one need not run all of it, nor write a second file that would have to be
//! kept the same as the first. So the file, or a scenario, or `--set`, says `only = ["droplets", "dns-enactor"]`.

use std::collections::BTreeSet;

use crate::read::value::Fault;
use crate::tree::{Node, Table, Value};
use crate::{Problem, Setting};

/// The key that says it, at the top of the file.
pub(crate) const KEY: &str = "only";

/// Leaves the services that `only` names, and those that they call, directly or through others, and the name servers.
/// Without that key it leaves all of them.
pub(crate) fn take(root: &mut Table, settings: &[Setting]) -> Result<(), Vec<Problem>> {
    let Some(only) = root.get(KEY).cloned() else { return Ok(()) };
    let at = |node: &Node, Fault { message, cure, nearest }: Fault| Problem {
        origin: node.origin.to_string(),
        key: KEY.to_owned(),
        message,
        cure,
        nearest,
    };
    let Value::List(named) = &only.value else {
        let fault =
            Fault::new(format!("{only} is not a list"), "write names of services: [\"droplets\", \"web\"]");
        return Err(vec![at(&only, fault)]);
    };
    if named.is_empty() {
        let fault =
            Fault::new("it names no service", "name those that are to run, or take the key out for all");
        return Err(vec![at(&only, fault)]);
    }
    let Some(Node { value: Value::Table(services), .. }) = root.get("service") else { return Ok(()) };
    let mut problems = Vec::new();
    let mut wanted: Vec<&str> = Vec::new();
    for node in named {
        match node.text() {
            Some(name) if services.contains_key(name) => wanted.push(name),
            Some(name) => {
                let names = services.keys().map(String::as_str);
                problems.push(at(node, Fault::unknown("service", name, names)));
            }
            None => problems.push(at(node, Fault::new(format!("{node} is no name"), "write it in quotes"))),
        }
    }
    let names = root.get("region").and_then(Node::table).and_then(|region| region.get("dns-service"));
    wanted.extend(names.and_then(Node::text));
    let mut kept = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        let Some(service) = services.get(name).and_then(Node::table) else { continue };
        if kept.insert(name.to_owned()) {
            let calls = service.get("calls").and_then(Node::table);
            wanted.extend(calls.into_iter().flat_map(|calls| calls.keys().map(String::as_str)));
        }
    }
    // A setting of what is left out would change nothing, and whoever wrote it would not know.
    for setting in settings {
        let mut path = setting.path.split('.').map(str::trim);
        let (top, service) = (path.next(), path.next().unwrap_or_default());
        if top == Some("service") && services.contains_key(service) && !kept.contains(service) {
            problems.push(Problem {
                origin: format!("--set {setting}"),
                key: setting.path.clone(),
                message: format!("`only` leaves {service} out"),
                cure: format!("add {service} to `only`, or take the setting out"),
                nearest: None,
            });
        }
    }
    if let Some(Node { value: Value::Table(services), .. }) = root.get_mut("service") {
        services.retain(|name, _| kept.contains(name));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
