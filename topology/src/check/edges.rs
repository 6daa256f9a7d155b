//! `calls` of a service: one edge for each callee.

use super::policy::policy;
use super::region::endpoint;
use super::services::Context;
use crate::Edge;
use crate::read::Fields;
use crate::read::value::{Fault, is_off};
use crate::tree::{Node, Table};
use indexmap::IndexMap;

pub(super) fn calls(
    fields: &mut Fields<'_, '_>,
    caller: &str,
    context: &Context<'_>,
) -> IndexMap<String, Edge> {
    let entries = fields.entries("calls");
    let path = fields.path_of("calls");
    let mut calls = IndexMap::new();
    for (callee, node) in entries {
        let path = format!("{path}.{callee}");
        let reading = fields.reading();
        if callee == caller {
            let fault =
                Fault::new("a service can't call itself", "take this edge out, or make two services of it");
            reading.fault(&node.origin, &path, fault);
        } else if !context.outline.contains_key(callee.as_str()) {
            let fault = Fault::unknown("service", callee, context.outline.keys().copied());
            reading.fault(&node.origin, &path, fault);
        }
        // Says so if it isn't a table; otherwise the merged one is read in its place.
        Fields::of_node(reading, &path, node);
        let empty = Table::new();
        let own = node.table().unwrap_or(&empty);
        let merged = context.defaults.under_edge(reading, &path, own, &context.presets);
        let mut fields = Fields::new(reading, &path, &node.origin, &merged);
        calls.insert(callee.clone(), edge(&mut fields, caller, callee, context.has_dns));
        fields.finish();
    }
    calls
}

fn edge(fields: &mut Fields<'_, '_>, caller: &str, callee: &str, has_dns: bool) -> Edge {
    let mut policy = policy(fields);
    // An unknown name was noted when the layers were laid.
    policy.preset =
        fields.node("preset").filter(|node| !is_off(node)).and_then(Node::text).map(str::to_owned);
    fields.reading().note(fields.path_of("preset"), &policy.preset.as_deref().unwrap_or("none"));
    Edge {
        caller: caller.to_owned(),
        callee: callee.to_owned(),
        endpoint: endpoint(fields, has_dns),
        static_addresses: fields.value("static-addresses", false),
        policy,
    }
}
