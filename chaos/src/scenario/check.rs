//! Checks a scenario against the topology it runs in: names, ways, settings.

use eastfall_fabric::fault::FaultError;
use eastfall_topology::{Problem, Setting, Topology};

use super::{Act, Restart, RestartOf, Step};

/// Everything in the steps that this topology doesn't have. The steps are in order of time, and a setting is checked
/// on top of those before it, as it will be applied.
pub(super) fn check(steps: &[Step], topology: &Topology) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut in_force = topology.clone();
    for step in steps {
        match &step.act {
            Act::Note => {}
            Act::Fault { fault, .. } => {
                if let Err(errors) = fault.check(topology) {
                    problems.extend(errors.into_iter().map(|error| of_fault(step, error)));
                }
            }
            Act::Set(settings) => {
                for setting in settings {
                    apply(step, setting, &mut in_force, &mut problems);
                }
            }
            Act::Call(call) => {
                let instances = || topology.services.values().flat_map(|service| &service.instances);
                let known = topology.services.contains_key(&call.service)
                    || instances().any(|instance| *instance == call.service);
                if !known {
                    let names = topology.services.keys().chain(instances()).map(String::as_str);
                    problems.push(step.origin.unknown(
                        "service or instance of this topology",
                        &call.service,
                        names,
                    ));
                }
            }
            Act::Restart(restart) => check_restart(step, restart, topology, &mut problems),
        }
    }
    problems
}

fn apply(step: &Step, setting: &Setting, in_force: &mut Topology, problems: &mut Vec<Problem>) {
    match in_force.with(setting) {
        Ok(changed) => *in_force = changed,
        Err(found) => {
            let place = &step.origin.place;
            problems.extend(found.0.into_iter().map(|problem| Problem { origin: place.clone(), ..problem }));
        }
    }
}

fn check_restart(step: &Step, restart: &Restart, topology: &Topology, problems: &mut Vec<Problem>) {
    match &restart.who {
        RestartOf::Service(name) if !topology.services.contains_key(name) => {
            let names = topology.services.keys().map(String::as_str);
            problems.push(step.origin.unknown("service of this topology", name, names));
        }
        RestartOf::Service(_) => {}
        RestartOf::Instances(names) => {
            let instances: Vec<&str> = topology
                .services
                .values()
                .flat_map(|service| &service.instances)
                .map(String::as_str)
                .collect();
            for name in names.iter().filter(|name| !instances.contains(&name.as_str())) {
                problems.push(step.origin.unknown(
                    "instance of this topology",
                    name,
                    instances.iter().copied(),
                ));
            }
        }
    }
}

fn of_fault(step: &Step, error: FaultError) -> Problem {
    Problem { nearest: error.nearest, ..step.origin.problem(error.message, error.cure) }
}
