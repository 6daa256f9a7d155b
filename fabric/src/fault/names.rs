//! Checks the names in a fault against a topology: a misspelt instance would otherwise break nothing, and the run
//! would show how well the region bears it.

use eastfall_topology::{Topology, nearest};

use super::selector::glob;
use super::{Edge, Fault, FaultError, Selector};

/// Every error at once.
pub(super) fn check(fault: &Fault, topology: &Topology) -> Result<(), Vec<FaultError>> {
    let mut errors = Vec::new();
    match fault {
        Fault::Latency { on, .. } | Fault::Error { on, .. } | Fault::BlackHole { on } => {
            check_edge(on, topology, &mut errors);
        }
        _ => {
            for who in fault.who() {
                check_selector(who, topology, &mut errors);
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn check_selector(who: &Selector, topology: &Topology, errors: &mut Vec<FaultError>) -> bool {
    let known = topology.services.values().any(|service| any_instance(who, service));
    if !known {
        let names = topology.services.values().flat_map(|service| {
            std::iter::once(service.name.as_str()).chain(service.instances.iter().map(String::as_str))
        });
        errors.push(FaultError {
            message: format!("`{who}` is no service or instance of this topology"),
            cure: format!("write the name of a service ({}) or an instance", listed(topology)),
            nearest: nearest(who.as_str(), names),
            at: 0,
        });
    }
    known
}

fn any_instance(who: &Selector, service: &eastfall_topology::Service) -> bool {
    service.instances.iter().any(|instance| who.matches(instance, &service.name))
}

fn check_edge(on: &Edge, topology: &Topology, errors: &mut Vec<FaultError>) {
    let known = check_selector(&on.caller, topology, errors) & check_selector(&on.callee, topology, errors);
    let callers = || topology.services.values().filter(|service| any_instance(&on.caller, service));
    let called =
        |name: &String| topology.services.get(name).is_some_and(|service| any_instance(&on.callee, service));
    let dns = topology.region.dns_service.as_ref();
    if known && !dns.is_some_and(called) && !callers().any(|caller| caller.calls.keys().any(called)) {
        let ways: Vec<String> = callers()
            .flat_map(|caller| caller.calls.keys().map(|callee| format!("{}->{callee}", caller.name)))
            .take(8)
            .collect();
        let cure = if ways.is_empty() {
            format!("`{}` calls nobody", on.caller)
        } else {
            format!("name a way of the topology, such as {}", ways.join(", "))
        };
        let message = format!("`{}->{}` is no way of this topology", on.caller, on.callee);
        errors.push(FaultError { message, cure, nearest: None, at: 0 });
    }
    if let Some(pattern) = &on.method {
        let methods: Vec<&str> =
            eastfall_proto::APIS.iter().flat_map(|api| (api.methods)()).map(|method| method.name).collect();
        if !methods.iter().any(|name| glob(pattern, name)) {
            errors.push(FaultError {
                message: format!("`{pattern}` is no method of any API"),
                cure: "write a method's name as in its .proto file, such as GetItem".to_owned(),
                nearest: nearest(pattern, methods),
                at: 0,
            });
        }
    }
}

/// Some of the services, for a cure.
fn listed(topology: &Topology) -> String {
    let mut names: Vec<&str> = topology.services.keys().take(12).map(String::as_str).collect();
    if topology.services.len() > names.len() {
        names.push("...");
    }
    names.join(", ")
}
