//! Generic operations may not call each other in a circle: with required calls no request could ever be answered, with
//! optional ones it would still call for ever.

use crate::Service;
use crate::read::Reading;
use crate::read::value::Fault;
use crate::tree::{Origin, Table, find};
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet};

/// A service and one of its operations.
type Step<'s> = (&'s str, &'s str);

/// Notes every circle that shares no operation with one noted before.
pub(super) fn check(reading: &Reading, root: &Table, services: &IndexMap<String, Service>) {
    let mut calls = operation_calls(services);
    loop {
        drop_what_ends(&mut calls);
        let Some(circle) = circle(&calls) else { return };
        let steps: Vec<String> = circle
            .iter()
            .chain(circle.first())
            .map(|(service, operation)| format!("{service}.{operation}"))
            .collect();
        let (service, operation) = circle[0];
        let path = ["service", service, "operations", operation].map(str::to_owned);
        let origin = find(root, &path).map_or(Origin::Outside("topology".into()), |node| node.origin.clone());
        let fault = Fault::new(
            format!("the calls go round in a circle: {}", steps.join(" -> ")),
            "take one of these calls out",
        );
        reading.fault(&origin, &path.join("."), fault);
        calls.retain(|step, _| !circle.contains(step));
    }
}

fn operation_calls(services: &IndexMap<String, Service>) -> BTreeMap<Step<'_>, BTreeSet<Step<'_>>> {
    let mut calls = BTreeMap::new();
    for service in services.values() {
        for (name, operation) in &service.operations {
            let called = operation.all_calls().map(|call| (call.service.as_str(), call.operation.as_str()));
            calls.insert((service.name.as_str(), name.as_str()), called.collect());
        }
    }
    calls
}

/// Takes out, again and again, the operations that call nothing that is left; what stays leads into a circle.
fn drop_what_ends<'s>(calls: &mut BTreeMap<Step<'s>, BTreeSet<Step<'s>>>) {
    let mut callers: BTreeMap<Step<'s>, Vec<Step<'s>>> = BTreeMap::new();
    let mut open: BTreeMap<Step<'s>, usize> = BTreeMap::new();
    for (caller, called) in calls.iter() {
        let left = called.iter().filter(|step| calls.contains_key(*step));
        open.insert(*caller, left.clone().count());
        left.for_each(|step| callers.entry(*step).or_default().push(*caller));
    }
    let mut ended: Vec<Step<'s>> =
        open.iter().filter(|(_, count)| **count == 0).map(|(step, _)| *step).collect();
    while let Some(step) = ended.pop() {
        calls.remove(&step);
        for caller in callers.remove(&step).unwrap_or_default() {
            if let Some(count) = open.get_mut(&caller) {
                *count -= 1;
                if *count == 0 {
                    ended.push(caller);
                }
            }
        }
    }
}

/// Follows calls until a step comes again; every step that is left calls one that is left.
fn circle<'s>(calls: &BTreeMap<Step<'s>, BTreeSet<Step<'s>>>) -> Option<Vec<Step<'s>>> {
    let mut step = *calls.keys().next()?;
    let mut way: Vec<Step<'s>> = Vec::new();
    let mut places: BTreeMap<Step<'s>, usize> = BTreeMap::new();
    while !places.contains_key(&step) {
        places.insert(step, way.len());
        way.push(step);
        step = *calls.get(&step)?.iter().find(|next| calls.contains_key(*next))?;
    }
    places.get(&step).map(|start| way.split_off(*start))
}
